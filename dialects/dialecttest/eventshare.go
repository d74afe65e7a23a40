package dialecttest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var eventShareCases = []testCase{
	{name: "counts the callers of shared statements", run: countsCallers(0), needs: groupCommit},
	{name: "counts repetitions of shared statements", run: countsCallers(2), needs: groupCommit},
	{name: "counts no caller out of time", run: countsNoLate, needs: groupCommit},
	{name: "shows a caller that gives up", run: showsCancellation, needs: groupCommit},
}

// sharing are the operations that share statements, as crowds of n make them.
func (e *env) sharing(t *testing.T, opts ...dpopnonce.Option) map[string]func(ctx context.Context, i int) error {
	t.Helper()
	opts = append(opts, dpopnonce.WithGroupCommit())
	r, sealed := e.repository(t, e.db, opts...), e.sealed(t, opts...)
	wantIs(t, sealed.Spend(ctx, newName(), noon.Add(life)), nil) // rows count: proofs share from now on
	nonces := e.issueMany(t, 2*callers, life)
	all := map[string]func(context.Context, int) error{
		"issue":   func(ctx context.Context, _ int) error { _, err := r.Issue(ctx, life); return err },
		"consume": func(ctx context.Context, i int) error { return consume(ctx, r, nonces[i], life) },
		"rotate":  func(ctx context.Context, i int) error { return rotate(ctx, r, nonces[callers+i], life) },
		"spend": func(ctx context.Context, i int) error {
			return sealed.Spend(ctx, fmt.Sprint("proof-", i), noon.Add(life))
		},
	}
	ours := make([]string, callers)
	for i := range ours {
		var err error
		ours[i], err = sealed.Issue(ctx, life)
		wantIs(t, err, nil)
	}
	all["sealed rotate"] = func(ctx context.Context, i int) error { return rotate(ctx, sealed, ours[i], life) }
	return all
}

// wantShared fails unless events are of statements that callers shared, n callers
// of each n, with as many repetitions of statements as given, or more: at a
// higher isolation level some fail to serialize by themselves.
func wantShared(t *testing.T, shown []dpopnonce.Event, repeated int) {
	t.Helper()
	if len(shown) != callers {
		t.Fatalf("%d events", len(shown))
	}
	of, times, shared := map[int]int{}, 0.0, false
	for _, event := range shown {
		if event.Outcome != "ok" || event.Shared < 1 {
			t.Fatalf("%+v", event)
		}
		of[event.Shared]++
		times += float64(event.Repeated) / float64(event.Shared)
		shared = shared || event.Shared > 1
	}
	for n, events := range of {
		if events%n != 0 {
			t.Errorf("%d of %d callers saw %d in their statement", events, len(shown), n)
		}
	}
	if !shared || int(times+0.5) < repeated {
		t.Errorf("callers by statement: %v, repeated %v times, want %d or more", of, times, repeated)
	}
}

// countsCallers lets so many shared statements fail.
func countsCallers(failures int) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		shown := &events{}
		all := e.sharing(t, shown.option())
		connect(t, e.db)
		for name, call := range all {
			call := call
			t.Run(name, func(t *testing.T) {
				shown.take()
				var failed atomic.Int64
				watch(t, e.db, func(tx *gorm.DB) {
					if isShared(tx) && failed.Add(1) <= int64(failures) {
						_ = tx.AddError(again{1020})
					}
				})
				wantAll(t, crowd(t, e.db, callers, call), nil)
				wantShared(t, shown.take(), failures)
			})
		}
	}
}

// countsNoLate presents proofs half of which expire when the last of their callers
// has begun to wait: a statement is sent without those that it finds expired.
func countsNoLate(t *testing.T, e *env) {
	shown := &events{}
	r := e.sealed(t, shown.option(), dpopnonce.WithGroupCommit())
	wantIs(t, r.Spend(ctx, newName(), noon.Add(life)), nil) // rows count: proofs share from now on
	connect(t, e.db)
	shown.take()
	var arrived, lateOnes atomic.Int64
	watch(t, e.db, func(*gorm.DB) {
		for arrived.Load() < callers {
			runtime.Gosched()
		}
	})
	crowd(t, e.db, callers, func(ctx context.Context, i int) error {
		until := noon.Add(life)
		if i%2 == 0 {
			until = noon.Add(time.Second)
		}
		var once sync.Once
		ctx = arriving{ctx, func() {
			once.Do(func() {
				if i%2 == 0 && lateOnes.Add(1) == callers/2 {
					e.clock.Set(noon.Add(2 * time.Second))
				}
				arrived.Add(1)
			})
		}}
		return r.Spend(ctx, fmt.Sprint("proof-", i), until)
	})
	of, late := map[int]int{}, 0
	for _, event := range shown.take() {
		if event.Shared == 0 {
			late++
		} else {
			of[event.Shared]++
		}
	}
	for n, events := range of {
		if events%n != 0 {
			t.Errorf("%d callers saw %d in their statement", events, n)
		}
	}
	if late == 0 {
		t.Error("no proof expired before its statement")
	}
}

// showsCancellation lets half of the callers of a shared statement give up while
// it is under way.
func showsCancellation(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit(), shown.option())
	connect(t, e.db)
	nonces := e.issueMany(t, callers, life)
	ending, cancel := context.WithCancel(alone)
	defer cancel()
	canceled := func() (n int) {
		shown.mu.Lock()
		defer shown.mu.Unlock()
		for _, event := range shown.all {
			if event.Outcome == "canceled" {
				n++
			}
		}
		return n
	}
	watch(t, e.db, func(tx *gorm.DB) {
		for isShared(tx) && canceled() == 0 {
			cancel()
			runtime.Gosched()
		}
	})
	gaveUp := 0
	for i, err := range crowd(t, e.db, callers, func(ctx context.Context, i int) error {
		if i%2 == 0 {
			ctx.Done()
			return r.Consume(ending, nonces[i], life)
		}
		return r.Consume(ctx, nonces[i], life)
	}) {
		if err != nil {
			wantIs(t, err, context.Canceled)
			gaveUp++
		}
		if err != nil && i%2 != 0 {
			t.Errorf("caller %d stayed and got %v", i, err)
		}
	}
	if n := canceled(); n != gaveUp {
		t.Errorf("%d were canceled, and %d shown so", gaveUp, n)
	}
	all := shown.take()
	for _, event := range all {
		if event.Operation != "consume" || event.Shared > callers || event.Shared == 0 && event.Outcome != "canceled" {
			t.Errorf("%+v", event)
		}
	}
	if len(all) != callers {
		t.Errorf("%d events", len(all))
	}
}
