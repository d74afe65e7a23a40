package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var sessionCases = []testCase{
	{name: "conditions and an earlier error of the caller's db are left behind", run: func(t *testing.T, e *env) {
		carrying := e.db.Where("1 = 0").Where("no_such_column = 1").Limit(1)
		_ = carrying.AddError(errors.New("earlier"))
		check := func(r *dpopnonce.Repository) {
			t.Helper()
			nonce, err := r.Issue(ctx, time.Minute)
			wantIs(t, err, nil)
			next, err := r.Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, nil)
			wantIs(t, r.Check(ctx, next, time.Minute), nil)
			wantIs(t, r.Consume(ctx, next, time.Minute), nil)
			wantIs(t, r.Consume(ctx, next, time.Minute), dpopnonce.ErrUsed)
			_, err = r.Sweep(ctx)
			wantIs(t, err, nil)
		}
		check(e.repository(t, carrying))
		check(e.WithTx(carrying))
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			check(e.WithTx(tx.Where("1 = 0")))
			return nil
		}), nil)
		if carrying.Error == nil || carrying.Error.Error() != "earlier" {
			t.Fatalf("the caller's error became %v", carrying.Error)
		}
	}},
	{name: "outside a transaction every call is one statement, and a rejected Consume two", run: func(t *testing.T, e *env) {
		nonce, spare := e.issue(t, time.Minute), e.issue(t, time.Minute)
		sent := statements(t, e.db)
		want := func(call string, n int, err, want error) {
			t.Helper()
			wantIs(t, err, want)
			if all := sent(); len(all) != n {
				t.Errorf("%s sent %q", call, all)
			}
		}
		_, err := e.Issue(ctx, time.Minute)
		want("Issue", 1, err, nil)
		want("Check", 1, e.Check(ctx, nonce, time.Minute), nil)
		want("Consume", 1, e.consume(nonce), nil)
		want("Consume, rejected,", 2, e.consume(nonce), dpopnonce.ErrUsed)
		if e.has.database == "postgres" {
			_, err = e.Rotate(ctx, spare, time.Minute)
			want("Rotate", 1, err, nil)
			_, err = e.Rotate(ctx, spare, time.Minute)
			want("Rotate, rejected,", 1, err, dpopnonce.ErrUsed)
		}
	}},
	{name: "a DryRun db is refused", run: func(t *testing.T, e *env) {
		dry := e.db.Session(&gorm.Session{DryRun: true})
		if r, err := dpopnonce.NewRepository(dry, e.opts...); err == nil || r != nil {
			t.Fatal("no error")
		}
		nonce := e.issue(t, time.Minute)
		for _, tx := range []*gorm.DB{dry, nil} {
			r := e.WithTx(tx)
			wantFailure(t, r.Consume(ctx, nonce, time.Minute))
			wantFailure(t, r.Consume(ctx, "", time.Minute))
			next, err := r.Rotate(ctx, nonce, time.Minute)
			wantFailure(t, err)
			if next != "" {
				t.Fatalf("a successor: %q", next)
			}
			wantFailure(t, r.Check(ctx, nonce, time.Minute))
			_, err = r.Issue(ctx, time.Minute)
			wantFailure(t, err)
			_, err = r.Insert(ctx, changeset("dry", noon, noon.Add(time.Minute)))
			wantFailure(t, err)
			_, err = r.Sweep(ctx)
			wantFailure(t, err)
			wantFailure(t, r.Migrate(ctx))
		}
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "neither log nor error prints a nonce, and no expected outcome is logged as an error", run: func(t *testing.T, e *env) {
		log := &recorder{}
		r := e.repository(t, e.db.Session(&gorm.Session{Logger: logger.New(log, logger.Config{LogLevel: logger.Info})}))
		nonce, err := r.Issue(ctx, time.Minute)
		wantIs(t, err, nil)
		next, err := r.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		_, duplicate := r.Insert(ctx, changeset(next, noon, noon.Add(time.Minute)))
		wantIs(t, duplicate, dpopnonce.ErrDuplicate)
		wantIs(t, r.Check(ctx, next, time.Minute), nil)
		wantIs(t, r.Consume(ctx, next, time.Minute), nil)
		used := r.Consume(ctx, next, time.Minute)
		wantIs(t, used, dpopnonce.ErrUsed)
		if log.failures > 0 {
			t.Errorf("%d errors in the log:\n%s", log.failures, log.text())
		}
		e.dropNonceIndex(t)
		_, failure := r.Insert(ctx, changeset(nonce, noon, noon.Add(time.Minute)))
		if failure == nil && e.has.conflictUp {
			t.Error("no error without the unique index")
		}
		for _, secret := range []string{nonce, next} {
			if text := fmt.Sprint(log.text(), duplicate, used, failure); strings.Contains(text, secret) {
				t.Errorf("a nonce is in\n%s", text)
			}
		}
		if !strings.Contains(log.text(), e.table) {
			t.Error("the statements are not in the application's log")
		}
	}},
}

// recorder is the writer of a gorm logger.
type recorder struct {
	mu       sync.Mutex
	lines    []string
	failures int
}

func (r *recorder) Printf(format string, values ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if err, ok := v.(error); ok && !errors.Is(err, context.Canceled) {
			r.failures++
		}
	}
	r.lines = append(r.lines, fmt.Sprintf(format, values...))
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}
