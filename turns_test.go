package dpopnonce_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// impatient opens a file on which nothing waits for a lock.
func impatient(t *testing.T) *gorm.DB {
	t.Helper()
	return open(t, sqlite.Open("file:"+t.TempDir()+"/nonces.db?_journal_mode=WAL&_busy_timeout=0&_txlock=immediate"))
}

func TestWritersOfOnePoolTakeTurns(t *testing.T) {
	ctx := context.Background()
	db := impatient(t)
	var refused, writing atomic.Int32
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:begin", func(*gorm.DB) {
		if writing.Add(1) > 1 {
			t.Error("two write at once")
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Callback().Raw().After("gorm:raw").Register("test:end", func(tx *gorm.DB) {
		writing.Add(-1)
		if tx.Error != nil && strings.Contains(tx.Error.Error(), "locked") {
			refused.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for _, opts := range [][]dpopnonce.Option{
		{dpopnonce.WithTable("as_nonces")},
		{dpopnonce.WithTable("rs_nonces")},
		{dpopnonce.WithTable("shared_nonces"), dpopnonce.WithGroupCommit()},
	} {
		r, err := dpopnonce.NewRepository(db, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 4; i++ {
			callers.Add(1)
			go func() {
				defer callers.Done()
				for n := 0; n < 10; n++ {
					nonce, err := r.Issue(ctx, time.Minute)
					if err == nil {
						nonce, err = r.Rotate(ctx, nonce, time.Minute)
					}
					if err == nil {
						err = r.Check(ctx, nonce, time.Minute)
					}
					if err == nil {
						err = r.Consume(ctx, nonce, time.Minute)
					}
					if err == nil {
						err = r.Spend(ctx, nonce, time.Now().Add(time.Minute))
					}
					if err == nil {
						_, err = r.Sweep(ctx)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
	}
	callers.Wait()
	if n := refused.Load(); n != 0 {
		t.Errorf("%d statements met a lock", n)
	}
}

func TestTurnsDelayNoReaderAndNoEndedContext(t *testing.T) {
	ctx := context.Background()
	db := impatient(t)
	migrate(t, db)
	clock := func() {}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithClock(func() time.Time { clock(); return time.Now() }))
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	writing, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:hold", func(*gorm.DB) {
		first.Do(func() {
			close(writing)
			<-goOn
		})
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Consume(ctx, nonce, time.Minute) }()
	<-writing
	if err := r.Check(ctx, nonce, time.Minute); err != nil {
		t.Error(err)
	}
	ending, end := context.WithCancel(ctx)
	clock = end // after the first look at the context
	if err := r.Consume(ending, "another", time.Minute); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another writer") {
		t.Error(err)
	}
	clock = func() {}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A caller that holds a transaction and calls outside it waits for SQLite's lock.
func TestHeldTransactionIsBusyForOthers(t *testing.T) {
	ctx := context.Background()
	db := impatient(t)
	r := migrate(t, db)
	err := db.Transaction(func(tx *gorm.DB) error {
		if _, err := r.WithTx(tx).Issue(ctx, time.Minute); err != nil {
			return err
		}
		var others sync.WaitGroup
		for i := 0; i < 4; i++ {
			others.Add(1)
			go func() {
				defer others.Done()
				if _, err := r.Issue(ctx, time.Minute); err == nil || !strings.Contains(err.Error(), "database is locked") {
					t.Error(err)
				}
			}()
		}
		others.Wait()
		_, err := r.WithTx(tx).Issue(ctx, time.Minute)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Issue(ctx, time.Minute); err != nil {
		t.Error(err)
	}
}
