package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"
)

// watch calls fn before each raw statement of db, with or without rows, until
// the case ends.
func watch(t *testing.T, db *gorm.DB, fn func(*gorm.DB)) {
	t.Helper()
	name := "dialecttest:" + newName()
	err := db.Callback().Raw().Before("gorm:raw").Register(name, fn)
	if err == nil {
		err = db.Callback().Row().Before("gorm:row").Register(name, fn)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{db.Callback().Raw().Remove(name), db.Callback().Row().Remove(name)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// statements collects the SQL that db sends, in order. The function that it
// returns takes what was collected so far.
func statements(t *testing.T, db *gorm.DB) func() []string {
	t.Helper()
	var mu sync.Mutex
	var all []string
	watch(t, db, func(tx *gorm.DB) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, sqlOf(tx))
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		taken := all
		all = nil
		return taken
	}
}

func sqlOf(tx *gorm.DB) string { return strings.TrimSpace(tx.Statement.SQL.String()) }

// wantNoStatement fails if statements collected any.
func wantNoStatement(t testing.TB, sent func() []string) {
	t.Helper()
	if all := sent(); len(all) > 0 {
		t.Fatalf("sent %q", all)
	}
}

// alone is the context of a call. The one of a shared statement has no values.
var alone = context.WithValue(ctx, caller{}, "alone")

func isShared(tx *gorm.DB) bool { return tx.Statement.Context.Value(caller{}) == nil }

// sharedINSERTs counts those of calls with the context alone that are shared.
func (e *env) sharedINSERTs(t *testing.T) func() int64 {
	t.Helper()
	var n atomic.Int64
	watch(t, e.db, func(tx *gorm.DB) {
		if isShared(tx) && strings.Contains(sqlOf(tx), "INSERT") {
			n.Add(1)
		}
	})
	return n.Load
}

// A recorder is the writer of a gorm logger.
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
