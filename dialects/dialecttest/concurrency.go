package dialecttest

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var concurrencyCases = []testCase{
	{name: "accepts one of 32 callers", run: oneOfManyCallers},
	{name: "accepts 32 callers with their own nonces", run: ownNonces},
	{name: "accepts one of 32 transactions, READ COMMITTED", run: oneOfManyTransactions(sql.LevelReadCommitted), needs: rowLocks},
	{name: "accepts one of 32 transactions, REPEATABLE READ", run: oneOfManyTransactions(sql.LevelRepeatableRead), needs: rowLocks},
	{name: "accepts one of 32 transactions, SERIALIZABLE", run: oneOfManyTransactions(sql.LevelSerializable), needs: rowLocks},
	{name: "a stale REPEATABLE READ snapshot accepts nothing", run: staleSnapshot(sql.LevelRepeatableRead), needs: rowLocks},
	{name: "a stale SERIALIZABLE snapshot accepts nothing", run: staleSnapshot(sql.LevelSerializable), needs: rowLocks | freeSerializable},
}

func oneOfManyCallers(t *testing.T, e *env) {
	connect(t, e.db)
	nodes := e.nodes(t)
	for n := 0; n < 50; n++ {
		nonce := e.issue(t, time.Minute)
		wantOneWinner(t, race(callers, func(i int) error {
			return nodes[i%len(nodes)].Consume(ctx, nonce, longTTL)
		}), dpopnonce.ErrUsed)
	}
}

func ownNonces(t *testing.T, e *env) {
	connect(t, e.db)
	wantAll(t, race(callers, func(int) error {
		nonce, err := e.Issue(ctx, time.Minute)
		for n := 0; n < 5 && err == nil; n++ {
			nonce, err = e.Rotate(ctx, nonce, time.Minute)
		}
		if err != nil {
			return err
		}
		return e.consume(nonce)
	}), nil)
}

// oneOfManyTransactions races transactions of the callers, in which nothing is
// repeated: a loser gets ErrUsed or the database's own error.
func oneOfManyTransactions(level sql.IsolationLevel) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		connect(t, e.db)
		for n := 0; n < 10; n++ {
			nonce := e.issue(t, time.Minute)
			winners := 0
			for _, err := range race(callers, func(int) error {
				return e.db.Transaction(func(tx *gorm.DB) error {
					return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
				}, &sql.TxOptions{Isolation: level})
			}) {
				if err == nil {
					winners++
				} else if errors.Is(err, dpopnonce.ErrRejected) {
					wantIs(t, err, dpopnonce.ErrUsed)
				}
			}
			if winners != 1 {
				t.Fatalf("%d transactions committed", winners)
			}
		}
	}
}

// staleSnapshot reads in a transaction, lets another caller win, and presents
// the nonce that the transaction's snapshot still shows as unused.
func staleSnapshot(level sql.IsolationLevel) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		tx := e.db.Begin(&sql.TxOptions{Isolation: level})
		wantIs(t, tx.Error, nil)
		defer tx.Rollback()
		wantIs(t, e.WithTx(tx).Check(ctx, nonce, time.Minute), nil)
		wantIs(t, e.consume(nonce), nil)
		err := e.WithTx(tx).Consume(ctx, nonce, time.Minute)
		if errors.Is(err, dpopnonce.ErrRejected) {
			wantIs(t, err, dpopnonce.ErrUsed)
			return
		}
		wantFailure(t, err)
		if driverCode(err) != e.serializationCode {
			t.Fatalf("the driver's error is not in %v", err)
		}
	}
}
