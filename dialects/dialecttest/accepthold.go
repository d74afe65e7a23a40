package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// holdCases are about rows that a transaction has inserted and not committed.
var holdCases = []testCase{
	{name: "a commit elsewhere rejects the waiting callers", run: eachWay(heldThen(true)), needs: rowLocks},
	{name: "a rollback elsewhere lets one of them through", run: eachWay(heldThen(false)), needs: rowLocks},
	{name: "a commit rejects waiting callers, under group commit", run: eachWay(heldThen(true, manyWaiters...), dpopnonce.WithGroupCommit()), needs: rowLocks | groupCommit},
	{name: "a rollback lets one through, under group commit", run: eachWay(heldThen(false, manyWaiters...), dpopnonce.WithGroupCommit()), needs: rowLocks | groupCommit},
	{name: "ends with its context while it waits", run: eachWay(heldContext), needs: rowLocks},
	{name: "ends with its context, under group commit", run: eachWay(heldContext, dpopnonce.WithGroupCommit()), needs: rowLocks | groupCommit},
	{name: "takes rows in one order", run: eachWay(sharedOrder, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "leaves a lock timeout to the caller", run: eachWay(heldLockTimeout), needs: rowLocks},
}

// holdNew accepts something in a transaction that stays open.
func (e *env) holdNew(t *testing.T, w way, what string) *gorm.DB {
	t.Helper()
	tx := e.db.Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	wantIs(t, tx.Error, nil)
	t.Cleanup(func() { tx.Rollback() })
	wantIs(t, w.present(ctx, w.WithTx(tx), what), nil)
	return tx
}

// manyWaiters are more than the plain statements in flight under group commit,
// so that some wait in the queue.
var manyWaiters = []int{12}

// heldThen ends a transaction that holds what others wait for, after it has seen
// that no other caller waits.
func heldThen(commit bool, waiters ...int) func(*testing.T, *env, way) {
	n := append(waiters, 4)[0]
	return func(t *testing.T, e *env, w way) {
		connect(t, e.db)
		pool, err := e.db.DB()
		wantIs(t, err, nil)
		pool.SetMaxOpenConns(3) // the holder's, one that waits, and one for all others
		held, others := w.new(t), w.newMany(t, 64)
		holder := e.holdNew(t, w, held)
		var inserts atomic.Int64
		watch(t, e.db, func(tx *gorm.DB) {
			if strings.Contains(sqlOf(tx), "INSERT") {
				inserts.Add(1)
			}
		})
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // a caller that is delayed fails here
		defer cancel()
		waited := make(chan error, n)
		for i := 0; i < n; i++ {
			go func() { waited <- w.present(ctx, w.Repository, held) }()
		}
		for inserts.Load() < 1 && bounded.Err() == nil { // one is about to wait
			wantIs(t, w.Check(bounded, "never-issued", life), dpopnonce.ErrUnknown)
		}
		for _, some := range [][]string{others[:8], others[8:32], others[32:]} {
			some := some
			wantAll(t, race(len(some), func(i int) error { return w.present(bounded, w.Repository, some[i]) }), nil)
		}
		select {
		case err := <-waited:
			t.Fatalf("the row is held, and a caller got %v", err)
		default:
		}
		end := holder.Rollback
		if commit {
			end = holder.Commit
		}
		wantIs(t, end().Error, nil)
		errs := make([]error, n)
		for i := range errs {
			errs[i] = <-waited
		}
		if commit {
			wantAll(t, errs, w.again)
		} else {
			wantOneWinner(t, errs, w.again)
		}
		wantAll(t, race(len(others), func(i int) error { return w.present(bounded, w.Repository, others[i]) }), w.again)
	}
}

// heldContext gives up while it waits for a row, and is accepted later.
func heldContext(t *testing.T, e *env, w way) {
	connect(t, e.db)
	held := w.new(t)
	holder := e.holdNew(t, w, held)
	ending, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	for _, err := range race(12, func(int) error { return w.present(ending, w.Repository, held) }) {
		wantFailure(t, err)
		wantIs(t, err, context.DeadlineExceeded)
	}
	wantIs(t, holder.Rollback().Error, nil)
	// The database may still run a statement of theirs, which then counts.
	if err := w.present(ctx, w.Repository, held); err != nil {
		wantIs(t, err, w.again)
	}
	wantIs(t, w.present(ctx, w.Repository, held), w.again)
}

func heldLockTimeout(t *testing.T, e *env, w way) {
	held := w.new(t)
	holder := e.holdNew(t, w, held)
	tx := e.db.Begin()
	wantIs(t, tx.Error, nil)
	defer tx.Rollback()
	wantIs(t, tx.Exec(e.setLockTimeout).Error, nil)
	sent := statements(t, e.db)
	err := w.present(ctx, w.WithTx(tx), held)
	wantFailure(t, err)
	if errors.Is(err, w.again) || driverCode(err) != e.lockTimeoutCode {
		t.Fatalf("the driver's error is not in %v", err)
	}
	if all := sent(); len(all) != 1 {
		t.Fatalf("sent %q", all)
	}
	if e.resetLockTimeout != "" {
		wantIs(t, tx.Exec(e.resetLockTimeout).Error, nil)
	}
	wantIs(t, holder.Rollback().Error, nil)
	wantIs(t, tx.Rollback().Error, nil)
	wantIs(t, w.present(ctx, w.Repository, held), nil)
}

// sharedOrder looks at what a shared INSERT binds: in opposite orders, two of
// them would wait for each other.
func sharedOrder(t *testing.T, e *env, w way) {
	connect(t, e.db)
	wantIs(t, w.present(ctx, w.Repository, w.new(t)), nil)
	all := w.newMany(t, 64)
	var most atomic.Int64
	watch(t, e.db, func(tx *gorm.DB) {
		if !isShared(tx) || !strings.Contains(sqlOf(tx), "INSERT") {
			return
		}
		bound := fmt.Sprint(tx.Statement.Vars...)
		places := map[string]int{}
		var there []string
		for _, what := range all {
			for _, nonce := range []string{what, stored(what)} {
				if at := strings.Index(bound, nonce); at >= 0 {
					places[nonce] = at
					there = append(there, nonce)
				}
			}
		}
		sort.Strings(there)
		for i := 1; i < len(there); i++ {
			if places[there[i]] < places[there[i-1]] {
				t.Error("nonces are not in order")
				break
			}
		}
		if n := int64(len(there)); n > most.Load() {
			most.Store(n)
		}
	})
	wantAll(t, crowd(t, e.db, len(all), func(ctx context.Context, i int) error { return w.present(ctx, w.Repository, all[i]) }), nil)
	if most.Load() < 4 {
		t.Fatalf("%d in one statement", most.Load())
	}
}
