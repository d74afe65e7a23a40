package dpopnonce_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

// A transaction holds the row of a nonce that its client presents again.
func TestHeldNonceTakesOneConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for name, opts := range map[string][]dpopnonce.Option{"plain": nil, "group commit": {dpopnonce.WithGroupCommit()}} {
		opts := opts
		t.Run(name, func(t *testing.T) {
			db := openSchema(t)
			migrate(t, db)
			r := withOptions(t, db, opts...)
			pool, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			pool.SetMaxOpenConns(3)
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			tx := db.Begin()
			defer tx.Rollback()
			if err := r.WithTx(tx).Consume(ctx, nonce, time.Minute); err != nil {
				t.Fatal(err)
			}
			replays := make(chan error, 20)
			for i := 0; i < cap(replays); i++ {
				i := i
				go func() {
					if i%2 == 0 {
						replays <- r.Consume(ctx, nonce, time.Minute)
						return
					}
					_, err := r.Rotate(ctx, nonce, time.Minute)
					replays <- err
				}()
			}
			for pool.Stats().InUse < 2 && ctx.Err() == nil { // one waits for the row
				runtime.Gosched()
			}
			for i := 0; i < 20; i++ {
				if _, err := r.Issue(ctx, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit().Error; err != nil {
				t.Fatal(err)
			}
			for i := 0; i < cap(replays); i++ {
				if err := <-replays; err != dpopnonce.ErrUsed {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// Whoever gives up hands its turn on, also if it came at the same moment.
func TestWaitingPresentersLeaveWithTheirContexts(t *testing.T) {
	db := openSchema(t)
	migrate(t, db)
	r := withOptions(t, db)
	ctx := context.Background()
	for round := 0; round < 20; round++ {
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 16)
		for i := 0; i < cap(errs); i++ {
			i := i
			go func() {
				ending, cancel := context.WithTimeout(ctx, time.Duration(i)*100*time.Microsecond)
				defer cancel()
				errs <- r.Consume(ending, nonce, time.Minute)
			}()
		}
		for i := 0; i < cap(errs); i++ {
			<-errs
		}
		if err := r.Consume(ctx, nonce, time.Minute); err != nil && err != dpopnonce.ErrUsed {
			t.Fatal(err)
		}
	}
}
