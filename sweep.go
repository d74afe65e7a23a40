package dpopnonce

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/session"
)

// Sweep deletes the rows that expired before the current second, in batches, each
// a statement of its own, and returns how many it deleted. Any number of nodes may
// sweep at once; rows that another transaction holds or has just changed are left
// for the next sweep.
//
// For its first minute a batch has at most 250 rows, and a pause as long as the
// batch follows, so that callers hardly wait. Then, and in a caller's transaction, a
// batch has the rows of [WithSweepBatch] and no pause, so that a long sweep catches
// up.
//
// A nonce whose row was swept is ErrUnknown from then on. When ctx ends, Sweep
// returns what it deleted so far and an error that wraps ctx's; after any other
// error as well, what was deleted stays deleted.
func (r *Repository) Sweep(ctx context.Context) (deleted int64, err error) {
	err = r.public(ctx, "sweep", func(o *observation) error {
		if err := r.ready(ctx); err != nil {
			return err
		}
		sql := r.sql.Sweep
		if r.sql.SweepView != "" && r.session.InTransaction { // an error would abort the transaction
			sql = r.sql.SweepView
		}
		for start := time.Now(); ; {
			began := time.Now()
			limit, gentle := int64(r.sweepBatch), !r.session.InTransaction && began.Sub(start) < time.Minute
			if gentle {
				limit = min(limit, 250)
			}
			var batch int64
			repeated, err := r.session.Do(ctx, func(conn session.Conn) (err error) {
				o.sends(1)
				batch, err = conn.Exec(sql, session.Values{"now", r.bind(r.now()), "limit", limit})
				return err
			})
			o.repeats(repeated)
			if err != nil {
				fault, _ := r.dialect.Fault(err)
				if fault != dialects.NotATable || sql == r.sql.SweepView || r.sql.SweepView == "" {
					return err
				}
				sql = r.sql.SweepView
				continue
			}
			deleted += batch
			o.deletes(batch)
			if batch < limit {
				return nil
			}
			if gentle && !session.Sleep(ctx, time.Since(began)) {
				return ctx.Err()
			}
		}
	})
	return deleted, err
}

// SweepLag returns how long ago the oldest expired row expired, or 0 if there is
// none. It grows while no node sweeps. Expect up to two intervals of SweepEvery;
// rows that another transaction holds stay longer.
//
// It is one look into the index on expires_at, on the primary. An error is the
// database's.
func (r *Repository) SweepLag(ctx context.Context) (time.Duration, error) {
	lag, err := r.sweepLag(ctx)
	return lag, r.failure("sweep lag", err)
}

func (r *Repository) sweepLag(ctx context.Context) (time.Duration, error) {
	if err := r.ready(ctx); err != nil {
		return 0, err
	}
	var seconds sql.NullInt64
	_, err := r.session.Do(ctx, func(conn session.Conn) error {
		_, err := conn.Row(r.sql.SweepLag, session.Values{"now", r.bind(r.now())}, &seconds)
		return err
	})
	if err != nil {
		return 0, err
	}
	return time.Duration(min(seconds.Int64, math.MaxInt64/int64(time.Second))) * time.Second, nil
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
	err := r.ready(ctx)
	if err == nil && interval <= 0 {
		err = errors.New("interval must be positive")
	}
	if err == nil && r.inTx {
		err = errTransaction
	}
	if err != nil {
		return fmt.Errorf("dpopnonce: sweep every %v: %w", interval, err)
	}
	wait := time.Duration(rand.Int63n(int64(interval)))
	for session.Sleep(ctx, wait) {
		if _, err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.session.Log(ctx, err)
		}
		wait = interval - interval/10 + time.Duration(rand.Int63n(int64(interval/5)+1))
	}
	return ctx.Err()
}
