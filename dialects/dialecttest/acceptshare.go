package dialecttest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// heldShareCases are about a row that a transaction holds, and the statements
// that callers share.
var heldShareCases = []testCase{
	{name: "a held row holds up no shared statement", run: eachWay(heldInBatch(false), dpopnonce.WithGroupCommit()), needs: rowLocks | groupCommit},
	{name: "a shared INSERT that fails accepts nothing", run: eachWay(failedShare, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "a row under wait stays out of batches", run: eachWay(heldInBatch(true), dpopnonce.WithGroupCommit()), needs: rowLocks | groupCommit},
}

// heldInBatch lets many callers come at once, one in eight of them for a row that
// a transaction holds. A caller may wait for it already: then the others share
// their statements.
func heldInBatch(waiting bool) func(*testing.T, *env, way) {
	return func(t *testing.T, e *env, w way) {
		connect(t, e.db)
		// The rows of all ways are in one page: where a page is split beside the held
		// row, an INSERT just before that row waits as well on InnoDB.
		held, others := w.new(t), w.newMany(t, 32)
		holder := e.holdNew(t, w, held)
		var wentAlone, begun atomic.Int64
		watch(t, e.db, func(tx *gorm.DB) {
			switch tx.Statement.Context.Value(caller{}) {
			case "other":
				wentAlone.Add(1)
			case "held":
				begun.Add(1)
			}
		})
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // a caller that is delayed fails here
		defer cancel()
		give, up := context.WithCancel(context.WithValue(bounded, caller{}, "held"))
		defer up()
		ended := make(chan error, 1)
		if waiting {
			go func() { ended <- w.present(give, w.Repository, held) }()
			for begun.Load() == 0 && bounded.Err() == nil {
				wantIs(t, w.Check(bounded, "never-issued", life), dpopnonce.ErrUnknown)
			}
		}
		var called, left atomic.Int64
		left.Store(int64(len(others)))
		for i, err := range crowd(t, e.db, len(others)*9/8, func(ctx context.Context, i int) error {
			ctx.Done() // has arrived
			if i >= len(others) {
				for called.Load() < int64(len(others)/2) { // more than go alone
					runtime.Gosched()
				}
				return w.present(give, w.Repository, held)
			}
			called.Add(1)
			err := w.present(context.WithValue(bounded, caller{}, "other"), w.Repository, others[i])
			if left.Add(-1) == 0 {
				up()
			}
			return err
		}) {
			want := error(nil)
			if i >= len(others) {
				want = context.Canceled
			}
			wantIs(t, err, want)
		}
		if n := wentAlone.Load(); waiting && n > int64(len(others)/2) {
			t.Errorf("%d of %d went alone", n, len(others))
		}
		if waiting {
			wantIs(t, <-ended, context.Canceled)
		}
		wantIs(t, holder.Commit().Error, nil)
		wantIs(t, w.present(ctx, w.Repository, held), w.again)
	}
}

// failedShare presents one that is taken among many that are not, in one statement.
// If that fails and another one follows, another node accepts the rest in between.
func failedShare(t *testing.T, e *env, w way) {
	connect(t, e.db)
	node := w.otherNode(t, e)
	for round := 0; round < 3; round++ { // the first calls, which go alone, may have the one
		items := w.newMany(t, 32)
		wantIs(t, w.present(alone, w.Repository, items[0]), nil)
		accepted := make([]atomic.Int64, len(items))
		present := func(ctx context.Context, r *dpopnonce.Repository, i int) {
			switch err := w.present(ctx, r, items[i]); {
			case err == nil:
				accepted[i].Add(1)
			case !errors.Is(err, w.again):
				t.Error(err)
			}
		}
		watch(t, e.db, func(tx *gorm.DB) {
			if isShared(tx) && !strings.Contains(sqlOf(tx), "INSERT") {
				for i := range items {
					present(alone, node, i)
				}
			}
		})
		crowd(t, e.db, len(items), func(ctx context.Context, i int) error {
			present(ctx, w.Repository, i)
			return nil
		})
		for i := range items[1:] {
			if n := accepted[1+i].Load(); n != 1 {
				t.Errorf("accepted %d times", n)
			}
		}
		if n := accepted[0].Load(); n != 0 {
			t.Errorf("accepted %d times more", n)
		}
	}
}
