package dpopnonce_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// GORM gives the error of the caller that prepares a statement to all callers that
// wait for it.
func TestPreparedStatementsPassNoEndedContextOn(t *testing.T) {
	t.Run("the library's", func(t *testing.T) { passNoEndedContextOn(t, openSQLite(t)) })
	t.Run("GORM's", func(t *testing.T) {
		passNoEndedContextOn(t, openSQLite(t).Session(&gorm.Session{PrepareStmt: true}))
	})
}

func passNoEndedContextOn(t *testing.T, db *gorm.DB) {
	ctx := context.Background()
	migrate(t, db)
	var calls atomic.Int32
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithClock(func() time.Time {
		calls.Add(1)
		return time.Now()
	}))
	if err != nil {
		t.Fatal(err)
	}
	const callers = 8
	nonces := make([]string, callers+1)
	for i := range nonces {
		if nonces[i], err = r.Issue(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}

	ending, end := context.WithCancel(ctx)
	first, others := make(chan error, 1), make(chan error, callers)
	go func() { first <- r.Consume(ending, nonces[callers], time.Minute) }()
	until(func() bool { return pool.Stats().WaitCount == 1 }) // it waits for the connection, to prepare
	calls.Store(0)
	for i := 0; i < callers; i++ {
		nonce := nonces[i]
		go func() { others <- r.Consume(ctx, nonce, time.Minute) }()
	}
	until(func() bool { return calls.Load() == callers })
	for i := 0; i < 1000; i++ {
		runtime.Gosched() // from the clock to the statement
	}
	end()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < callers; i++ {
		if err := <-others; err != nil {
			t.Error(err)
		}
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	db := openSQLite(t)
	r := migrate(t, db)
	attempts := failing(t, db, func(int, *gorm.DB) error { return nil })
	ended, end := context.WithCancel(context.Background())
	end()
	if _, err := r.Issue(ended, time.Minute); !errors.Is(err, context.Canceled) || *attempts != 0 {
		t.Fatal(*attempts, err)
	}
}

func TestPreparedStatementsFollowTheTable(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	r := migrate(t, db)
	rotate := func() error {
		nonce, err := r.Issue(ctx, time.Minute)
		if err == nil {
			_, err = r.Rotate(ctx, nonce, time.Minute)
		}
		return err
	}
	for _, ddl := range []string{"", "ALTER TABLE dpop_nonces ADD COLUMN tenant text", "ALTER TABLE dpop_nonces RENAME TO former",
		"CREATE TABLE dpop_nonces AS SELECT * FROM former", "CREATE UNIQUE INDEX again ON dpop_nonces (nonce)"} {
		if err := db.Exec(ddl).Error; err != nil {
			t.Fatal(err)
		}
		err := rotate()
		switch {
		case strings.Contains(ddl, "RENAME") && err == nil:
			t.Error("no error without the table")
		case strings.Contains(ddl, "SELECT") && (err == nil || !strings.Contains(err.Error(), "unique index")):
			t.Errorf("without the index: %v", err)
		case !strings.Contains(ddl, "RENAME") && !strings.Contains(ddl, "SELECT") && err != nil:
			t.Errorf("after %q: %v", ddl, err)
		}
	}
}

// A plugin asks the statement for its pool, or begins a transaction on it.
func TestCallbacksFindThePool(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	migrate(t, db)
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	find := func(tx *gorm.DB) {
		called = true
		if got, err := tx.DB(); got != pool || err != nil {
			t.Errorf("DB() = %p, %v, want %p", got, err, pool)
		}
		own := tx.Session(&gorm.Session{NewDB: true})
		if err := own.Transaction(func(tx *gorm.DB) error { return tx.Statement.ConnPool.(*sql.Tx).QueryRow("SELECT 1").Err() }); err != nil {
			t.Error(err)
		}
	}
	if err := db.Callback().Row().Before("gorm:row").Register("test:find", find); err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		if err := r.Check(ctx, "nonce", time.Minute); err != dpopnonce.ErrUnknown || !called {
			t.Fatal(called, err)
		}
	}
}

// until waits for a condition that other goroutines bring about.
func until(condition func() bool) {
	for !condition() {
		runtime.Gosched()
	}
}
