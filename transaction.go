package dpopnonce

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// How often a statement is repeated that met a deadlock or a lock timeout, and
// one that was not sent.
const (
	maxLocked = 10
	maxUnsent = 3
)

// run runs fn for a public call, and runs it again where the database says that
// nothing happened. The first run is on the pool, each statement by itself; a
// repeated one is in a transaction of a level that cannot fail to serialize.
func (r *Repository) run(ctx context.Context, call string, fn func(*gorm.DB) error) error {
	return r.repeat(ctx, call, r.plainly, fn)
}

// runAtomically is run for several statements that belong together: the first
// run is in a transaction, too. The UPDATE that accepts has to be the last of
// them. In a Galera cluster, MariaDB may roll a transaction back and tell nobody
// if a statement is prepared next: what follows is then a transaction of its
// own, and COMMIT succeeds.
func (r *Repository) runAtomically(ctx context.Context, call string, fn func(*gorm.DB) error) error {
	return r.repeat(ctx, call, r.atomically, fn)
}

type runner func(context.Context, func(*gorm.DB) error) error

func (r *Repository) repeat(ctx context.Context, call string, first runner, fn func(*gorm.DB) error) error {
	if r.err != nil {
		return r.err
	}
	// GORM's prepared statements pass the error of a context to whoever waits
	// for the same statement: one that ended already must not reach them.
	err := ctx.Err()
	if err == nil {
		err = first(ctx, fn)
	}
	var done repetitions
	for err != nil && r.again(ctx, err, &done) {
		err = r.atomically(ctx, fn)
	}
	if err != nil {
		return r.failed(ctx, call, err)
	}
	return nil
}

func (r *Repository) plainly(_ context.Context, fn func(*gorm.DB) error) error {
	return fn(r.db)
}

func (r *Repository) atomically(ctx context.Context, fn func(*gorm.DB) error) error {
	if r.callerTx {
		return r.plainly(ctx, fn)
	}
	db := r.fresh(ctx, r.db)
	// A transaction begins where the statements would go: BEGIN by itself runs
	// no callback, and would take the connection that dbresolver was given first.
	if resolve := db.Callback().Query().Get("gorm:db_resolver"); resolve != nil {
		resolve(db)
	}
	return db.Transaction(fn, &sql.TxOptions{Isolation: r.dialect.Isolation()})
}

// repetitions counts those of one run, by their cause where they are bounded.
type repetitions struct {
	all, locked, unsent int
}

// again waits before the next repetition of a run that ended with err. It is
// false if there is none to be: inside a caller's transaction, only the caller
// can repeat.
func (r *Repository) again(ctx context.Context, err error, done *repetitions) bool {
	if r.callerTx {
		return false
	}
	done.all++
	switch fault := r.dialect.Fault(err); {
	case fault == dialects.Serialization:
		return pause(ctx, done.all)
	case fault == dialects.Locked:
		done.locked++
		return done.locked <= maxLocked && pause(ctx, done.all)
	case ctx.Err() == nil && r.unsent(ctx, err):
		done.unsent++
		return done.unsent <= maxUnsent
	}
	return false
}

// unsent reports whether err is of a statement that was not sent, while ctx
// lives.
//
// One cause are broken connections. Package sql tries three, and callers whose
// contexts end while they are served leave more than that behind.
//
// The other is another caller's end of context: with PrepareStmt, whoever waits
// for a statement that another is preparing gets the other's error. A deadline
// that is not ctx's may be GORM's DefaultContextTimeout, which ends statements
// that were sent. It is for contexts without one of their own.
func (r *Repository) unsent(ctx context.Context, err error) bool {
	if errors.Is(err, driver.ErrBadConn) {
		return true
	}
	if !r.db.PrepareStmt {
		return false
	}
	_, bounded := ctx.Deadline()
	return errors.Is(err, context.Canceled) || bounded && errors.Is(err, context.DeadlineExceeded)
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
