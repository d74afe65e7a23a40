package dialecttest

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync"
	"testing"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// eventCases are about what an observer is shown, eventOutcomeCases about each
// outcome of each operation, eventShareCases about shared statements.
var eventCases = []testCase{
	{name: "shows failures, without the nonce", run: showsFailures},
	{name: "shows one call that panics", run: showsPanic},
	{name: "counts repetitions", run: countsRepetitions},
}

// events are what an observer was shown.
type events struct {
	mu  sync.Mutex
	all []dpopnonce.Event
}

func (e *events) option() dpopnonce.Option {
	return dpopnonce.WithObserver(func(_ context.Context, event dpopnonce.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event)
	})
}

// take returns what was shown since it was last called.
func (e *events) take() []dpopnonce.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.all
	e.all = nil
	return taken
}

// one is take of one Event.
func (e *events) one(t testing.TB) dpopnonce.Event {
	t.Helper()
	all := e.take()
	if len(all) != 1 {
		t.Fatalf("%d events: %+v", len(all), all)
	}
	return all[0]
}

// operations are all that an observer is shown, and what each does with a nonce
// of its own.
var operations = []struct {
	name string
	call func(ctx context.Context, r *dpopnonce.Repository, nonce string) error
}{
	{"issue", func(ctx context.Context, r *dpopnonce.Repository, _ string) error {
		_, err := r.Issue(ctx, life)
		return err
	}},
	{"insert", func(ctx context.Context, r *dpopnonce.Repository, _ string) error {
		_, err := r.Insert(ctx, changeset(newSecret(), noon, noon.Add(life)))
		return err
	}},
	{"check", func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
		return check(ctx, r, nonce, life)
	}},
	{"consume", func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
		return consume(ctx, r, nonce, life)
	}},
	{"rotate", func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
		return rotate(ctx, r, nonce, life)
	}},
	{"spend", func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
		return r.Spend(ctx, nonce, noon.Add(life))
	}},
	{"sweep", func(ctx context.Context, r *dpopnonce.Repository, _ string) error {
		_, err := r.Sweep(ctx)
		return err
	}},
}

func showsFailures(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, shown.option())
	ended, cancel := endedContext()
	defer cancel()
	late, cancelLate := context.WithTimeout(ctx, -1)
	defer cancelLate()
	for _, o := range operations {
		nonce := e.issue(t, life)
		secrets := map[string]bool{nonce: true}
		for _, c := range []struct {
			ctx     context.Context
			r       *dpopnonce.Repository
			outcome string
			is      error
		}{
			{ended, r, "canceled", context.Canceled},
			{late, r, "error", context.DeadlineExceeded},
			{ctx, r.WithTx(nil), "error", nil},
		} {
			err := o.call(c.ctx, c.r, nonce)
			wantFailure(t, err)
			got := shown.one(t)
			if got.Operation != o.name || got.Outcome != c.outcome || got.Age != -1 || got.Shared != 0 || (got.Err == err) != (c.outcome == "error") {
				t.Errorf("%s: %+v after %v", o.name, got, err)
			}
			if c.is != nil {
				wantIs(t, err, c.is)
			}
			wantHidden(t, fmt.Sprintf("%+v %#v", got, got), secrets)
		}
	}
	watch(t, e.db, func(tx *gorm.DB) { _ = tx.AddError(printed(fmt.Sprintf("wrong values %q", tx.Statement.Vars))) })
	for _, o := range operations {
		nonce := newSecret()
		err := o.call(ctx, r, nonce)
		wantFailure(t, err)
		got := shown.one(t)
		if got.Operation != o.name || got.Outcome != "error" || got.Err != err || got.Age != -1 || got.Shared != 1 || got.Repeated != 0 {
			t.Errorf("%s: %+v after %v", o.name, got, err)
		}
		wantHidden(t, fmt.Sprintf("%+v %#v", got, got), map[string]bool{nonce: true})
	}
}

func showsPanic(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, shown.option())
	watch(t, e.db, func(*gorm.DB) { panic("out of order") })
	for _, o := range operations {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", o.name)
				}
			}()
			_ = o.call(ctx, r, newSecret())
		}()
		if got := shown.one(t); got.Operation != o.name || got.Outcome != "error" || got.Err == nil {
			t.Errorf("%+v", got)
		}
	}
}

// again is an error after which every dialect repeats.
type again struct{ Number uint16 }

func (again) Error() string    { return "forced by the case" }
func (again) SQLState() string { return "40001" }
func (again) Unwrap() error    { return driver.ErrBadConn }

func countsRepetitions(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, shown.option())
	failures := 0
	watch(t, e.db, func(tx *gorm.DB) {
		if failures > 0 {
			failures--
			_ = tx.AddError(again{1020})
		}
	})
	for _, o := range operations {
		nonce := e.issue(t, life)
		failures = 2
		wantIs(t, o.call(ctx, r, nonce), nil)
		if got := shown.one(t); got.Operation != o.name || got.Repeated != 2 || got.Shared != 1 {
			t.Errorf("%+v", got)
		}
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			failures = 1
			return o.call(ctx, r.WithTx(tx), newSecret())
		}), driver.ErrBadConn)
		if got := shown.one(t); got.Operation != o.name || got.Repeated != 0 || got.Outcome != "error" {
			t.Errorf("%+v", got)
		}
	}
}
