package dialecttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var transactionCases = []testCase{
	{name: "un-consumes on rollback, not on commit", run: rollbackUnconsumes},
	{name: "drops the successor on rollback", run: rollbackDropsSuccessor},
	{name: "keeps the successor of a rejection on commit", run: commitKeepsSuccessor},
	{name: "stays usable after rejections", run: usableAfterRejections},
	{name: "un-consumes when a savepoint is rolled back", run: savepoint, needs: savepoints},
	{name: "notices a transaction begun by hand", run: begunByHand},
	{name: "refuses Migrate and SweepEvery, allows Sweep", run: migrateInTransaction},
	{name: "refuses Migrate and SweepEvery, begun by hand", run: migrateBegunByHand},
	{name: "fails if the transaction did not begin", run: didNotBegin},
	{name: "leaves a lock timeout to the caller", run: lockTimeout, needs: rowLocks},
}

var errRollback = errors.New("rolled back by the case")

// byHand runs fn in a transaction that only the connection knows of, and rolls
// it back.
func (e *env) byHand(t *testing.T, fn func(conn *gorm.DB) error) error {
	t.Helper()
	return e.db.Connection(func(conn *gorm.DB) error {
		wantIs(t, conn.Exec("BEGIN").Error, nil)
		err := fn(conn)
		wantIs(t, conn.Exec("ROLLBACK").Error, nil)
		return err
	})
}

func rollbackUnconsumes(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, e.WithTx(tx).Consume(ctx, nonce, time.Minute), nil)
		wantIs(t, e.WithTx(tx).Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
		wantIs(t, e.WithTx(tx).Check(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
		return errRollback
	}), errRollback)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
	}), nil)
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
}

func rollbackDropsSuccessor(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	var next string
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) (err error) {
		next, err = e.WithTx(tx).Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		return errRollback
	}), errRollback)
	wantIs(t, e.consume(next), dpopnonce.ErrUnknown)
	wantIs(t, e.consume(nonce), nil)
}

func commitKeepsSuccessor(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.consume(nonce), nil)
	for presented, reason := range map[string]error{nonce: dpopnonce.ErrUsed, "": dpopnonce.ErrMissing} {
		var next string
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) (err error) {
			next, err = e.WithTx(tx).Rotate(ctx, presented, time.Minute)
			wantIs(t, err, reason)
			return nil
		}), nil)
		wantIs(t, e.consume(next), nil)
	}
}

func usableAfterRejections(t *testing.T, e *env) {
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
		wantIs(t, r.Check(ctx, good, time.Minute), nil)
		return r.Consume(ctx, good, time.Minute)
	}), nil)
	wantIs(t, e.consume(good), dpopnonce.ErrUsed)
}

func savepoint(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, tx.Transaction(func(nested *gorm.DB) error {
			wantIs(t, e.WithTx(nested).Consume(ctx, nonce, time.Minute), nil)
			return errRollback
		}), errRollback)
		return e.WithTx(tx).Consume(ctx, nonce, time.Minute)
	}), nil)
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
}

func begunByHand(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.byHand(t, func(conn *gorm.DB) error {
		r := e.repository(t, conn)
		next, err := r.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		return r.Consume(ctx, next, time.Minute)
	}), nil)
	wantIs(t, e.consume(nonce), nil)
}

func migrateInTransaction(t *testing.T, e *env) {
	e.store(t, "old", noon.Add(-time.Hour), noon.Add(-time.Minute))
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		r := e.WithTx(tx)
		wantFailure(t, r.Migrate(ctx))
		wantFailure(t, r.SweepEvery(ctx, time.Minute))
		deleted, err := r.Sweep(ctx)
		if deleted != 1 {
			t.Fatalf("deleted %d rows", deleted)
		}
		return err
	}), nil)
}

// migrateBegunByHand gives WithTx a connection, which may be in a transaction.
func migrateBegunByHand(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	other := e.repository(t, e.db, dpopnonce.WithTable(newName()))
	wantIs(t, e.byHand(t, func(conn *gorm.DB) error {
		wantIs(t, e.WithTx(conn).Consume(ctx, nonce, time.Minute), nil)
		wantFailure(t, other.WithTx(conn).Migrate(ctx))
		wantFailure(t, other.WithTx(conn).SweepEvery(ctx, time.Minute))
		return nil
	}), nil)
	wantIs(t, e.consume(nonce), nil)
}

func didNotBegin(t *testing.T, e *env) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, db := range []*gorm.DB{e.db, e.db.Session(&gorm.Session{PrepareStmt: true})} {
		r := e.WithTx(db.WithContext(ended).Begin())
		_, rotated := r.Rotate(ctx, "nonce", time.Minute)
		for _, err := range []error{
			rotated, r.Consume(ctx, "nonce", time.Minute), r.Check(ctx, "nonce", time.Minute), r.Check(ctx, "", time.Minute), r.Migrate(ctx),
		} {
			wantFailure(t, err)
			wantIs(t, err, context.Canceled)
		}
	}
}

func lockTimeout(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	holder := e.hold(t, nonce)
	tx := e.db.Begin()
	wantIs(t, tx.Error, nil)
	defer tx.Rollback()
	wantIs(t, tx.Exec(e.setLockTimeout).Error, nil)
	sent := statements(t, e.db)
	err := e.WithTx(tx).Consume(ctx, nonce, time.Minute)
	wantFailure(t, err)
	if driverCode(err) != e.lockTimeoutCode {
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
	wantIs(t, e.consume(nonce), nil)
}
