package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var errRollback = errors.New("rolled back by the case")

var transactionCases = []testCase{
	{name: "a rollback un-consumes, a commit does not", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			wantIs(t, e.WithTx(tx).Consume(ctx, nonce, time.Minute), nil)
			wantIs(t, e.WithTx(tx).Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
			return errRollback
		}), errRollback)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
		}), nil)
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	}},
	{name: "a rollback drops a rotation and its successor, a commit on rejection keeps it", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		var next string
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) (err error) {
			next, err = e.WithTx(tx).Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, nil)
			return errRollback
		}), errRollback)
		wantIs(t, e.consume(next), dpopnonce.ErrUnknown)
		wantIs(t, e.consume(nonce), nil)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) (err error) {
			next, err = e.WithTx(tx).Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, dpopnonce.ErrUsed)
			return nil
		}), nil)
		wantIs(t, e.consume(next), nil)
	}},
	{name: "rejections leave the transaction usable", run: func(t *testing.T, e *env) {
		used, expired, good := e.issue(t, time.Minute), e.issue(t, time.Second), e.issue(t, time.Minute)
		wantIs(t, e.consume(used), nil)
		e.clock.Set(noon.Add(time.Second))
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			r := e.WithTx(tx)
			wantIs(t, r.Consume(ctx, used, time.Minute), dpopnonce.ErrUsed)
			wantIs(t, r.Consume(ctx, expired, time.Minute), dpopnonce.ErrExpired)
			wantIs(t, r.Consume(ctx, "never-issued", time.Minute), dpopnonce.ErrUnknown)
			_, err := r.Insert(ctx, changeset(good, noon, noon.Add(time.Minute)))
			wantIs(t, err, dpopnonce.ErrDuplicate)
			return r.Consume(ctx, good, time.Minute)
		}), nil)
		wantIs(t, e.consume(good), dpopnonce.ErrUsed)
	}},
	{name: "a savepoint that is rolled back un-consumes", needs: func(f features) bool { return f.savepoints }, run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			wantIs(t, tx.Transaction(func(nested *gorm.DB) error {
				wantIs(t, e.WithTx(nested).Consume(ctx, nonce, time.Minute), nil)
				return errRollback
			}), errRollback)
			return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
		}), nil)
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	}},
	{name: "a transaction is seen where only the connection shows it", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		wantIs(t, e.db.Connection(func(conn *gorm.DB) error {
			wantIs(t, conn.Exec("BEGIN").Error, nil)
			r := e.repository(t, conn)
			next, err := r.Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, nil)
			wantIs(t, r.Consume(ctx, next, time.Minute), nil)
			return conn.Exec("ROLLBACK").Error
		}), nil)
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "Migrate and SweepEvery are errors, Sweep is not", run: func(t *testing.T, e *env) {
		e.store(t, "old", noon.Add(-time.Hour), noon.Add(-time.Minute))
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			r := e.WithTx(tx)
			for _, err := range []error{r.Migrate(ctx), r.SweepEvery(ctx, time.Minute)} {
				if err == nil {
					t.Fatal("no error")
				}
			}
			deleted, err := r.Sweep(ctx)
			if deleted != 1 {
				t.Fatalf("deleted %d rows", deleted)
			}
			return err
		}), nil)
	}},
	{name: "Migrate and SweepEvery are errors on a connection given to WithTx, which may be in one", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		other := e.repository(t, e.db, dpopnonce.WithTable(newName()))
		wantIs(t, e.db.Connection(func(conn *gorm.DB) error {
			wantIs(t, conn.Exec("BEGIN").Error, nil)
			wantIs(t, e.WithTx(conn).Consume(ctx, nonce, time.Minute), nil)
			for _, err := range []error{other.WithTx(conn).Migrate(ctx), other.WithTx(conn).SweepEvery(ctx, time.Minute)} {
				wantFailure(t, err)
			}
			return conn.Exec("ROLLBACK").Error
		}), nil)
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "a transaction that did not begin is an error of every call", run: func(t *testing.T, e *env) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		for _, db := range []*gorm.DB{e.db, e.db.Session(&gorm.Session{PrepareStmt: true})} {
			r := e.WithTx(db.WithContext(ended).Begin())
			_, err := r.Rotate(ctx, "nonce", time.Minute)
			for _, err := range []error{err, r.Consume(ctx, "nonce", time.Minute), r.Migrate(ctx)} {
				wantFailure(t, err)
				wantIs(t, err, context.Canceled)
			}
		}
	}},
	{name: "a lock that is not to be had in time is the database's error and repeated by the caller only", needs: rowLocks, run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		holder := e.hold(t, nonce)
		tx := e.db.Begin()
		wantIs(t, tx.Error, nil)
		defer tx.Rollback()
		timeout := map[string]string{
			"postgres": "SET LOCAL lock_timeout = '10ms'", "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
		}[e.has.database]
		wantIs(t, tx.Exec(timeout).Error, nil)
		sent := statements(t, e.db)
		err := e.WithTx(tx).Consume(ctx, nonce, time.Minute)
		wantFailure(t, err)
		if code := driverCode(err); code != "55P03" && code != "1205" {
			t.Fatalf("the driver's error is not found in %v", err)
		}
		if all := sent(); len(all) != 1 {
			t.Fatalf("sent %q", all)
		}
		if onMySQL(e.has) {
			wantIs(t, tx.Exec("SET SESSION innodb_lock_wait_timeout = DEFAULT").Error, nil)
		}
		wantIs(t, holder.Rollback().Error, nil)
		wantIs(t, tx.Rollback().Error, nil)
		wantIs(t, e.consume(nonce), nil)
	}},
}

// hold locks the row of nonce in a transaction of its own, and nothing beside
// it: at REPEATABLE READ, MariaDB would lock the gap before it, too.
func (e *env) hold(t *testing.T, nonce string) *gorm.DB {
	t.Helper()
	tx := e.db.Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	wantIs(t, tx.Error, nil)
	t.Cleanup(func() { tx.Rollback() })
	wantIs(t, tx.Exec("SELECT id FROM "+e.table+" WHERE nonce = ? FOR UPDATE", nonce).Error, nil)
	return tx
}
