package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// acceptCases are about all that is accepted by one INSERT: sealed nonces, by
// Consume and by Rotate, and proofs.
var acceptCases = []testCase{
	{name: "accepts once, at any node", run: eachWay(acceptOnce)},
	{name: "accepts once, at any node, under group commit", run: eachWay(acceptOnce, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "accepts one of 32 callers", run: eachWay(acceptRace)},
	{name: "accepts one of 32, under group commit", run: eachWay(acceptRace, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "accepts one of 32 transactions, READ COMMITTED", run: eachWay(acceptInTransactions(sql.LevelReadCommitted)), needs: rowLocks},
	{name: "accepts one of 32 transactions, REPEATABLE READ", run: eachWay(acceptInTransactions(sql.LevelRepeatableRead)), needs: rowLocks},
	{name: "accepts one of 32 transactions, SERIALIZABLE", run: eachWay(acceptInTransactions(sql.LevelSerializable)), needs: rowLocks},
	{name: "a stale REPEATABLE READ snapshot accepts nothing", run: eachWay(acceptStale(sql.LevelRepeatableRead)), needs: rowLocks},
	{name: "a stale SERIALIZABLE snapshot accepts nothing", run: eachWay(acceptStale(sql.LevelSerializable)), needs: rowLocks | freeSerializable},
	{name: "gives back on rollback, not on commit", run: eachWay(acceptRollback)},
	{name: "gives back when a savepoint is rolled back", run: eachWay(acceptSavepoint), needs: savepoints},
	{name: "gives back in a transaction begun by hand", run: eachWay(acceptByHand)},
	{name: "leaves a transaction usable after rejections", run: eachWay(acceptUsable)},
	{name: "spends nothing when its context has ended", run: eachWay(acceptEndedContext)},
	{name: "accepts once when its context ends meanwhile", run: eachWay(acceptEndingContext)},
	{name: "an ended context fails only its caller", run: eachWay(acceptSharedContexts, dpopnonce.WithGroupCommit()), needs: groupCommit},
}

// acceptOnce presents to repositories of other processes as well, the first call
// of which is a replay.
func acceptOnce(t *testing.T, e *env, w way) {
	what, other := w.new(t), w.new(t)
	wantIs(t, w.present(ctx, w.Repository, what), nil)
	wantIs(t, w.present(ctx, w.Repository, what), w.again)
	for i := 0; i < 2; i++ {
		r := w.otherNode(t, e)
		wantIs(t, w.present(ctx, r, what), w.again)
		wantIs(t, w.present(ctx, r, what), w.again)
	}
	wantIs(t, w.present(ctx, w.otherNode(t, e), other), nil)
	wantIs(t, w.present(ctx, w.Repository, other), w.again)
}

func acceptRace(t *testing.T, e *env, w way) {
	connect(t, e.db)
	nodes := w.nodes(t, e)
	for n := 0; n < 10; n++ {
		what := w.new(t)
		wantOneWinner(t, race(callers, func(i int) error {
			return w.present(ctx, nodes[i%len(nodes)], what)
		}), w.again)
	}
}

// acceptInTransactions is oneOfManyTransactions.
func acceptInTransactions(level sql.IsolationLevel) func(*testing.T, *env, way) {
	return func(t *testing.T, e *env, w way) {
		connect(t, e.db)
		for n := 0; n < 5; n++ {
			what := w.new(t)
			winners := 0
			for _, err := range race(callers, func(int) error {
				return e.db.Transaction(func(tx *gorm.DB) error {
					return w.present(ctx, w.WithTx(tx), what)
				}, &sql.TxOptions{Isolation: level})
			}) {
				if err == nil {
					winners++
				} else if errors.Is(err, dpopnonce.ErrRejected) {
					wantIs(t, err, w.again)
				}
			}
			if winners != 1 {
				t.Fatalf("%d transactions committed", winners)
			}
			wantIs(t, w.present(ctx, w.Repository, what), w.again)
		}
	}
}

// acceptStale reads in a transaction, and presents there what another caller has
// been accepted with since.
func acceptStale(level sql.IsolationLevel) func(*testing.T, *env, way) {
	return func(t *testing.T, e *env, w way) {
		what := w.new(t)
		tx := e.db.Begin(&sql.TxOptions{Isolation: level})
		wantIs(t, tx.Error, nil)
		defer tx.Rollback()
		wantIs(t, w.WithTx(tx).Check(ctx, "takes-a-snapshot", life), dpopnonce.ErrUnknown)
		wantIs(t, w.present(ctx, w.Repository, what), nil)
		err := w.present(ctx, w.WithTx(tx), what)
		if errors.Is(err, w.again) {
			return
		}
		wantFailure(t, err)
		if driverCode(err) != e.serializationCode {
			t.Fatalf("the driver's error is not in %v", err)
		}
	}
}

func acceptRollback(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, w.present(ctx, w.WithTx(tx), what), nil)
		wantIs(t, w.present(ctx, w.WithTx(tx), what), w.again)
		return errRollback
	}), errRollback)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error { return w.present(ctx, w.WithTx(tx), what) }), nil)
	wantIs(t, w.present(ctx, w.Repository, what), w.again)
}

func acceptSavepoint(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, tx.Transaction(func(nested *gorm.DB) error {
			wantIs(t, w.present(ctx, w.WithTx(nested), what), nil)
			return errRollback
		}), errRollback)
		return w.present(ctx, w.WithTx(tx), what)
	}), nil)
	wantIs(t, w.present(ctx, w.Repository, what), w.again)
}

func acceptByHand(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, e.byHand(t, func(conn *gorm.DB) error {
		wantIs(t, w.present(ctx, w.WithTx(conn), what), nil)
		wantIs(t, w.present(ctx, w.WithTx(conn), what), w.again)
		return nil
	}), nil)
	wantIs(t, w.present(ctx, w.Repository, what), nil)
}

func acceptUsable(t *testing.T, e *env, w way) {
	used, good := w.new(t), w.new(t)
	wantIs(t, w.present(ctx, w.otherNode(t, e), used), nil)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		r := w.WithTx(tx)
		wantIs(t, w.present(ctx, r, used), w.again)
		wantIs(t, r.Check(ctx, "never-issued", life), dpopnonce.ErrUnknown)
		return w.present(ctx, r, good)
	}), nil)
	wantIs(t, w.present(ctx, w.Repository, good), w.again)
}

func acceptEndedContext(t *testing.T, e *env, w way) {
	what := w.new(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	sent := statements(t, e.db)
	err := w.present(ended, w.Repository, what)
	wantFailure(t, err)
	wantIs(t, err, context.Canceled)
	wantNoStatement(t, sent)
	wantIs(t, w.present(ctx, w.Repository, what), nil)
}

func acceptEndingContext(t *testing.T, e *env, w way) {
	what := w.new(t)
	ending, cancel := context.WithCancel(ctx)
	watch(t, e.db, func(*gorm.DB) { cancel() })
	err := w.present(ending, w.Repository, what)
	wantFailure(t, err)
	wantIs(t, err, context.Canceled)
	accepted := 0
	for i := 0; i < 2; i++ {
		if w.present(ctx, w.Repository, what) == nil {
			accepted++
		}
	}
	if accepted > 1 {
		t.Fatal("accepted twice")
	}
}

func acceptSharedContexts(t *testing.T, e *env, w way) {
	connect(t, e.db)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	all := w.newMany(t, 64)
	for i, err := range race(len(all), func(i int) error {
		if i%2 == 0 {
			return w.present(ended, w.Repository, all[i])
		}
		return w.present(ctx, w.Repository, all[i])
	}) {
		want := error(nil)
		if i%2 == 0 {
			want = context.Canceled
		}
		if !errors.Is(err, want) {
			t.Fatal(fmt.Sprint("caller ", i, " got ", err))
		}
	}
}
