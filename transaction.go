package dpopnonce

import (
	"context"
	"database/sql"
	"math/rand"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// maxLocked is how often a statement that met a deadlock or a lock timeout is
// repeated.
const maxLocked = 10

// run runs fn for a public call, and runs it again where the database says that
// nothing happened. The first run is on the pool, each statement by itself; a
// repeated one is in a transaction of a level that cannot fail to serialize.
func (r *Repository) run(ctx context.Context, call string, fn func(*gorm.DB) error) error {
	return r.repeat(ctx, call, r.plainly, fn)
}

// runAtomically is run for several statements that belong together: the first
// run is in a transaction, too.
func (r *Repository) runAtomically(ctx context.Context, call string, fn func(*gorm.DB) error) error {
	return r.repeat(ctx, call, r.atomically, fn)
}

type runner func(context.Context, func(*gorm.DB) error) error

func (r *Repository) repeat(ctx context.Context, call string, first runner, fn func(*gorm.DB) error) error {
	if r.err != nil {
		return r.err
	}
	err := first(ctx, fn)
	for n := 1; err != nil && r.again(ctx, err, n); n++ {
		err = r.atomically(ctx, fn)
	}
	if err != nil {
		return r.failed(ctx, call, err)
	}
	return nil
}

func (r *Repository) plainly(ctx context.Context, fn func(*gorm.DB) error) error {
	return fn(r.db.WithContext(ctx))
}

func (r *Repository) atomically(ctx context.Context, fn func(*gorm.DB) error) error {
	if r.callerTx {
		return r.plainly(ctx, fn)
	}
	db := r.fresh(r.db.WithContext(ctx))
	// A transaction begins where the statements would go: BEGIN by itself runs
	// no callback, and would take the connection that dbresolver was given first.
	if resolve := db.Callback().Query().Get("gorm:db_resolver"); resolve != nil {
		resolve(db)
	}
	return db.Transaction(fn, &sql.TxOptions{Isolation: r.dialect.Isolation()})
}

// again waits before the nth repetition of a run that ended with err. It is
// false if there is none to be: inside a caller's transaction, only the caller
// can repeat.
func (r *Repository) again(ctx context.Context, err error, n int) bool {
	if r.callerTx {
		return false
	}
	switch r.dialect.Fault(err) {
	case dialects.Serialization:
		return pause(ctx, n)
	case dialects.Locked:
		return n <= maxLocked && pause(ctx, n)
	}
	return false
}

// pause waits before the nth repetition, longer from one to the next and at
// random, so that competitors come apart. It is false if ctx ended.
func pause(ctx context.Context, n int) bool {
	const first, longest = time.Millisecond, 200 * time.Millisecond
	wait := longest
	if n < 8 {
		wait = first << n
	}
	return sleep(ctx, time.Duration(rand.Int63n(int64(wait))))
}

// sleep waits for d. It is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
