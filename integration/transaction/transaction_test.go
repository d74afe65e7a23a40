// Package transaction spends nonces in the transaction of an application's own
// writes.
package transaction

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// An Order is a row of the application.
type Order struct {
	ID   uint
	Item string `gorm:"type:varchar(50);not null"`
}

var errRollback = errors.New("out of stock")

func TestOrderAndNonceCommitTogether(t *testing.T) {
	onEach(t, func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, orders string) {
		nonce := issue(t, r)
		place := func(outcome error) error {
			return db.Transaction(func(tx *gorm.DB) error {
				if err := tx.Table(orders).Create(&Order{Item: "tea"}).Error; err != nil {
					return err
				}
				if err := r.WithTx(tx).Consume(t.Context(), nonce, time.Minute); err != nil {
					return err
				}
				return outcome
			})
		}
		wantError(t, place(errRollback), errRollback)
		wantOrders(t, db, orders, 0)
		wantError(t, place(nil), nil)
		wantOrders(t, db, orders, 1)
		wantError(t, place(nil), dpopnonce.ErrUsed)
		wantOrders(t, db, orders, 1)
	})
}

func TestTransactionContinuesAfterRejection(t *testing.T) {
	onEach(t, func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, orders string) {
		ctx, used := t.Context(), issue(t, r)
		wantError(t, r.Consume(ctx, used, time.Minute), nil)
		now := time.Now()
		duplicate := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
			dpopnonce.IssueAttrs{Nonce: used, IssuedAt: now, ExpiresAt: now.Add(time.Minute)})
		var next string
		err := db.Transaction(func(tx *gorm.DB) error {
			in := r.WithTx(tx)
			wantError(t, in.Consume(ctx, used, time.Minute), dpopnonce.ErrUsed)
			wantError(t, in.Consume(ctx, "never-issued", time.Minute), dpopnonce.ErrUnknown)
			wantError(t, in.Consume(ctx, "nul\x00\xff", time.Minute), dpopnonce.ErrUnknown)
			if _, err := in.Insert(ctx, duplicate); !errors.Is(err, dpopnonce.ErrDuplicate) {
				t.Errorf("got %v", err)
			}
			var err error
			next, err = in.Rotate(ctx, used, time.Minute)
			wantError(t, err, dpopnonce.ErrUsed)
			return tx.Table(orders).Create(&Order{Item: "tea"}).Error
		})
		wantError(t, err, nil)
		wantOrders(t, db, orders, 1)
		wantError(t, r.Consume(ctx, next, time.Minute), nil)
	})
}

func TestNestedRollbackRestoresNonce(t *testing.T) {
	onEach(t, func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, orders string) {
		ctx, inner, outer := t.Context(), issue(t, r), issue(t, r)
		err := db.Transaction(func(tx *gorm.DB) error {
			wantError(t, r.WithTx(tx).Consume(ctx, outer, time.Minute), nil)
			wantError(t, tx.Transaction(func(nested *gorm.DB) error {
				wantError(t, nested.Table(orders).Create(&Order{Item: "tea"}).Error, nil)
				wantError(t, r.WithTx(nested).Consume(ctx, inner, time.Minute), nil)
				return errRollback
			}), errRollback)
			wantError(t, tx.SavePoint("before_nonce").Error, nil)
			wantError(t, r.WithTx(tx).Consume(ctx, inner, time.Minute), nil)
			wantError(t, tx.RollbackTo("before_nonce").Error, nil)
			return tx.Table(orders).Create(&Order{Item: "cake"}).Error
		})
		wantError(t, err, nil)
		wantOrders(t, db, orders, 1)
		wantError(t, r.Consume(ctx, outer, time.Minute), dpopnonce.ErrUsed)
		wantError(t, r.Consume(ctx, inner, time.Minute), nil)
	})
}

func TestHandwrittenBeginDecides(t *testing.T) {
	onEach(t, func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, orders string) {
		ctx, nonce := t.Context(), issue(t, r)
		for _, end := range []string{"ROLLBACK", "COMMIT"} {
			wantError(t, db.Connection(func(conn *gorm.DB) error {
				wantError(t, conn.Exec("BEGIN").Error, nil)
				wantError(t, conn.Table(orders).Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&Order{Item: "tea"}).Error, nil)
				_, err := r.WithTx(conn).Rotate(ctx, nonce, time.Minute)
				wantError(t, err, nil)
				_, err = r.WithTx(conn).Issue(ctx, time.Minute)
				wantError(t, err, nil)
				return conn.Exec(end).Error
			}), nil)
		}
		wantOrders(t, db, orders, 1)
		wantError(t, r.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
	})
}

func TestRollbackOfSQLTxRestoresNonce(t *testing.T) {
	onEach(t, func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, _ string) {
		ctx, nonce := t.Context(), issue(t, r)
		pool, err := db.DB()
		wantError(t, err, nil)
		tx, err := pool.BeginTx(ctx, &sql.TxOptions{})
		wantError(t, err, nil)
		session := db.Session(&gorm.Session{NewDB: true})
		session.Statement = &gorm.Statement{DB: session, ConnPool: tx, Context: ctx}
		wantError(t, r.WithTx(session).Consume(ctx, nonce, time.Minute), nil)
		wantError(t, tx.Rollback(), nil)
		wantError(t, r.Consume(ctx, nonce, time.Minute), nil)
	})
}

func onEach(t *testing.T, fn func(t *testing.T, db *gorm.DB, r *dpopnonce.Repository, orders string)) {
	for name, dialector := range map[string]func(testing.TB) gorm.Dialector{
		"sqlite": func(tb testing.TB) gorm.Dialector {
			return sqlite.Open("file:" + dbtest.SQLite(tb) + "?_journal_mode=WAL&_busy_timeout=10000")
		},
		"postgres": func(tb testing.TB) gorm.Dialector { return postgres.Open(dbtest.Postgres(tb)) },
		"mysql":    func(tb testing.TB) gorm.Dialector { return mysql.Open(dbtest.MySQL(tb)) },
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Open(t, dialector(t))
			orders, nonces := "o"+dbtest.Name(t), dbtest.Name(t)
			t.Cleanup(func() { db.Exec("DROP TABLE " + orders); db.Exec("DROP TABLE " + nonces) })
			wantError(t, db.Table(orders).AutoMigrate(&Order{}), nil)
			fn(t, db, dbtest.Repository(t, db, dpopnonce.WithTable(nonces)), orders)
		})
	}
}

func issue(t *testing.T, r *dpopnonce.Repository) string {
	t.Helper()
	nonce, err := r.Issue(t.Context(), time.Minute)
	wantError(t, err, nil)
	return nonce
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func wantOrders(t *testing.T, db *gorm.DB, orders string, want int64) {
	t.Helper()
	var got int64
	if err := db.Table(orders).Count(&got).Error; err != nil || got != want {
		t.Fatalf("%d orders, %v; want %d", got, err, want)
	}
}
