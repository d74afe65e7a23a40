package mysql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

// The sessions in which a statement that is sent by itself is not committed.
var uncommitted = map[string]func(*testing.T, *gorm.DB, string){
	"autocommit=0": func(*testing.T, *gorm.DB, string) {},
	"completion_type=CHAIN": func(t *testing.T, db *gorm.DB, table string) {
		exec(t, db, "SELECT 1") // its connection goes back into the pool in a transaction
		if err := db.Transaction(func(tx *gorm.DB) error { return tx.Exec("DELETE FROM " + table).Error }); err != nil {
			t.Fatal(err)
		}
	},
}

func TestAcceptancesAreCommittedWhenReturned(t *testing.T) {
	ctx := context.Background()
	for setting, enter := range uncommitted {
		for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
			t.Run(fmt.Sprint(setting, " ", len(opts)), func(t *testing.T) {
				table := dbtest.Name(t)
				good := open(t, table, dbtest.MySQL(t))
				db := dbtest.Open(t, mysql.Open(dbtest.MySQL(t, setting)))
				pool, err := db.DB()
				if err != nil {
					t.Fatal(err)
				}
				pool.SetMaxOpenConns(4)
				enter(t, db, table)
				r, err := dpopnonce.NewRepository(db, append(opts, dpopnonce.WithTable(table))...)
				if err != nil {
					t.Fatal(err)
				}
				const callers = 40
				var nonces [callers]string
				each(t, callers, func(i int) (err error) {
					if i%2 == 0 {
						nonces[i], err = r.Issue(ctx, time.Minute)
					} else {
						nonces[i], err = good.Issue(ctx, time.Minute)
					}
					return err
				})
				each(t, callers, func(i int) error { return good.Check(ctx, nonces[i], time.Minute) })
				each(t, callers, func(i int) error { return r.Check(ctx, nonces[i], time.Minute) })
				var next [callers]string
				each(t, callers, func(i int) (err error) {
					if i%4 < 2 {
						return r.Consume(ctx, nonces[i], time.Minute)
					}
					next[i], err = r.Rotate(ctx, nonces[i], time.Minute)
					return err
				})
				// Before the connections close: nothing is held, and all is seen.
				each(t, callers, func(i int) error { return wantUsed(good.Consume(ctx, nonces[i], time.Minute)) })
				each(t, callers, func(i int) error { return wantUsed(r.Check(ctx, nonces[i], time.Minute)) })
				if err := pool.Close(); err != nil {
					t.Fatal(err)
				}
				each(t, callers, func(i int) error { return wantUsed(good.Consume(ctx, nonces[i], time.Minute)) })
				each(t, callers, func(i int) error {
					if next[i] == "" {
						return nil
					}
					return good.Consume(ctx, next[i], time.Minute)
				})
			})
		}
	}
}

func TestRollbackStillUnconsumesWithoutAutocommit(t *testing.T) {
	ctx := context.Background()
	table := dbtest.Name(t)
	good := open(t, table, dbtest.MySQL(t))
	r := open(t, table, dbtest.MySQL(t, "autocommit=0"))
	db := dbtest.Open(t, mysql.Open(dbtest.MySQL(t, "autocommit=0")))
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	undo := errors.New("undo")
	if err := db.Transaction(func(tx *gorm.DB) error {
		if err := r.WithTx(tx).Consume(ctx, nonce, time.Minute); err != nil {
			return err
		}
		return undo
	}); err != undo {
		t.Fatal(err)
	}
	if err := good.Consume(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// open returns a repository on table, which it creates if need be.
func open(t *testing.T, table, dsn string) *dpopnonce.Repository {
	t.Helper()
	db := dbtest.Open(t, mysql.Open(dsn))
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithTable(table))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

func exec(t *testing.T, db *gorm.DB, sql string) {
	t.Helper()
	if err := db.Exec(sql).Error; err != nil {
		t.Fatal(err)
	}
}

// each calls fn on n goroutines, and fails for any error.
func each(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() {
			if err := fn(i); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func wantUsed(err error) error {
	if errors.Is(err, dpopnonce.ErrUsed) {
		return nil
	}
	return fmt.Errorf("got %w, want ErrUsed", err)
}
