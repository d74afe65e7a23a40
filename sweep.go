package dpopnonce

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	"gorm.io/gorm"
)

// Sweep deletes the rows that expired before the current second, in batches of
// [WithSweepBatch] rows, each a statement of its own, and returns how many it
// deleted. Any number of nodes may sweep at once; rows that another transaction
// holds or has just changed are left for the next sweep where the database locks
// rows.
//
// A nonce whose row was swept is ErrUnknown from then on. When ctx ends, Sweep
// returns what it deleted so far and an error that wraps ctx's; after any other
// error, too, what was deleted stays deleted.
func (r *Repository) Sweep(ctx context.Context) (deleted int64, err error) {
	for {
		var batch int64
		err := r.run(ctx, "sweep", func(db *gorm.DB) (err error) {
			batch, err = r.exec(ctx, db, r.statements.sweep, &params{now: r.now(), limit: r.sweepBatch})
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted += batch
		if batch < int64(r.sweepBatch) {
			return deleted, nil
		}
	}
}

// SweepEvery sweeps until ctx ends and returns ctx's error: run it on a
// goroutine of its own, on as many nodes as you like. The first sweep comes
// within one interval, at random, and the next ones every interval, give or
// take a tenth, so that nodes that start together do not sweep together.
//
// A sweep that fails is logged through the application's GORM logger and done
// again at the next tick. An interval that is not positive, and a transaction,
// are errors.
func (r *Repository) SweepEvery(ctx context.Context, interval time.Duration) error {
	switch {
	case r.err != nil:
		return r.err
	case interval <= 0:
		return fmt.Errorf("dpopnonce: sweep every %v: interval must be positive", interval)
	case r.isTx:
		return fmt.Errorf("dpopnonce: sweep every %v: %w", interval, errTransaction)
	}
	wait := time.Duration(rand.Int63n(int64(interval)))
	for sleep(ctx, wait) {
		if _, err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.db.Logger.Error(ctx, "%v", err)
		}
		wait = interval - interval/10 + time.Duration(rand.Int63n(int64(interval/5)+1))
	}
	return ctx.Err()
}
