package dialecttest

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var concurrencyCases = []testCase{
	{name: "of 32 callers of each of 50 nonces one is accepted and 31 are told ErrUsed", run: func(t *testing.T, e *env) {
		connect(t, e.db)
		for n := 0; n < 50; n++ {
			nonce := e.issue(t, time.Minute)
			wins := 0
			for _, err := range race(callers, func(int) error { return e.consume(nonce) }) {
				if err == nil {
					wins++
					continue
				}
				wantIs(t, err, dpopnonce.ErrUsed)
			}
			if wins != 1 {
				t.Fatalf("accepted %d times", wins)
			}
		}
	}},
	{name: "32 callers with nonces of their own are all accepted", run: func(t *testing.T, e *env) {
		connect(t, e.db)
		for i, err := range race(callers, func(int) error {
			nonce, err := e.Issue(ctx, time.Minute)
			for n := 0; n < 5 && err == nil; n++ {
				nonce, err = e.Rotate(ctx, nonce, time.Minute)
			}
			if err != nil {
				return err
			}
			return e.consume(nonce)
		}) {
			if err != nil {
				t.Fatalf("caller %d: %v", i, err)
			}
		}
	}},
	{name: "competing transactions accept once under READ COMMITTED", needs: rowLocks, run: competing(sql.LevelReadCommitted)},
	{name: "competing transactions accept once under REPEATABLE READ", needs: rowLocks, run: competing(sql.LevelRepeatableRead)},
	{name: "competing transactions accept once under SERIALIZABLE", needs: rowLocks, run: competing(sql.LevelSerializable)},
	{name: "a snapshot from before the winner never accepts, REPEATABLE READ", needs: rowLocks, run: staleSnapshot(sql.LevelRepeatableRead)},
	{name: "a snapshot from before the winner never accepts, SERIALIZABLE",
		needs: func(f features) bool { return f.database == "postgres" }, // the others' reads block the winner
		run:   staleSnapshot(sql.LevelSerializable)},
}

// competing races transactions of the callers' own, in which nothing is
// repeated: a loser is told ErrUsed, or sees the database's own error.
func competing(level sql.IsolationLevel) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		connect(t, e.db)
		for n := 0; n < 10; n++ {
			nonce := e.issue(t, time.Minute)
			wins := 0
			for _, err := range race(callers, func(int) error {
				return e.db.Transaction(func(tx *gorm.DB) error {
					return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
				}, &sql.TxOptions{Isolation: level})
			}) {
				if err == nil {
					wins++
				} else if errors.Is(err, dpopnonce.ErrRejected) {
					wantIs(t, err, dpopnonce.ErrUsed)
				}
			}
			if wins != 1 {
				t.Fatalf("%d transactions committed", wins)
			}
		}
	}
}

// staleSnapshot reads in a transaction, lets another caller win, and presents
// the nonce that the snapshot still shows as unused.
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
		if code := driverCode(err); code != "40001" && code != "1020" {
			t.Fatalf("the driver's error is not found in %v", err)
		}
	}
}

// driverCode finds the driver's own error in err: PostgreSQL's SQLSTATE or
// MySQL's number.
func driverCode(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if state, ok := err.(interface{ SQLState() string }); ok {
			return state.SQLState()
		}
		var number int
		if _, scan := fmt.Sscanf(err.Error(), "Error %d", &number); scan == nil {
			return fmt.Sprint(number)
		}
	}
	return ""
}
