// Package traces shows what spans of GORM's tracing plugin hold of a nonce. The
// module is its own because the plugin requires the drivers of all databases.
package traces

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/opentelemetry/tracing"
)

// traced makes calls that bind nonces, alone and shared, in a table that refuses
// some with the nonce in the text of the error. It returns all that the spans hold,
// without the errors and theirs, and the nonces.
func traced(t *testing.T, opts ...tracing.Option) (attributes, errors string, nonces []string) {
	t.Helper()
	ctx := context.Background()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	db, err := gorm.Open(sqlite.Open("file:"+filepath.Join(t.TempDir(), "nonces.db")+"?_busy_timeout=10000&_txlock=immediate"),
		&gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	if err := db.Use(tracing.NewPlugin(append(opts, tracing.WithTracerProvider(provider), tracing.WithoutMetrics())...)); err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithGroupCommit())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := 0; i < 32; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			next, err := r.Rotate(ctx, nonce, time.Minute)
			if err != nil || r.Check(ctx, next, time.Minute) != nil || r.Consume(ctx, next, time.Minute) != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			nonces = append(nonces, nonce, next)
		}()
	}
	all.Wait()
	if err := db.Exec("CREATE TRIGGER refuse BEFORE INSERT ON dpop_nonces BEGIN SELECT json_extract('{}', NEW.nonce); END").Error; err != nil {
		t.Fatal(err)
	}
	refused := strings.Repeat("secret", 5)
	now := time.Now()
	_, err = r.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{}, dpopnonce.IssueAttrs{Nonce: refused, IssuedAt: now, ExpiresAt: now.Add(time.Minute)}))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatal(err)
	}
	for _, span := range recorder.Ended() {
		attributes += fmt.Sprintln(span.Name(), span.Attributes())
		errors += fmt.Sprintln(span.Status().Description, span.Events())
	}
	return attributes, errors, append(nonces, refused)
}

func count(text string, nonces []string) (n int) {
	for _, nonce := range nonces {
		if strings.Contains(text, nonce) {
			n++
		}
	}
	return n
}

func TestSpansWithoutQueryVariablesHoldNoNonce(t *testing.T) {
	attributes, _, nonces := traced(t, tracing.WithoutQueryVariables())
	if n := count(attributes, nonces); n > 0 {
		t.Errorf("%d of %d nonces are in the spans", n, len(nonces))
	}
	for _, want := range []string{"UPDATE", "INSERT", "SELECT", "dpop_nonces"} {
		if !strings.Contains(attributes, want) {
			t.Errorf("%s is not in the spans:\n%s", want, attributes)
		}
	}
}

// The plugin's default, and the errors of its spans: docs/guarantees.md warns of
// both.
func TestSpansHoldValuesByDefault(t *testing.T) {
	attributes, _, nonces := traced(t)
	if n := count(attributes, nonces); n != len(nonces) {
		t.Errorf("%d of %d nonces are in the spans: the documentation says all", n, len(nonces))
	}
}

func TestSpansHoldErrorsOfTheDriver(t *testing.T) {
	_, errors, nonces := traced(t, tracing.WithoutQueryVariables())
	if n := count(errors, nonces); n != 1 {
		t.Errorf("%d nonces in the errors: the documentation says that the text is left:\n%s", n, errors)
	}
}
