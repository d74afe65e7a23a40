package dpopnonce

import (
	"context"

	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

// WithGroupCommit lets concurrent Issue, Consume, Rotate and Spend calls share a
// statement, and with it a commit. It pays from some tens of callers on.
//
// Each caller gets its own outcome, and of those that present one nonce one is
// accepted. A caller whose context ends returns at once; if its call was sent,
// its nonce may be spent. A row that another transaction holds delays the
// callers that present it, and no others. A statement that fails is an error
// for all that share it.
//
// A lone caller's statement runs on its own goroutine and with its context. A
// shared one has a context without the values of its callers: callbacks and
// plugins of the application that need such a value fail there. One that chooses
// the database by such a value, or else a default, must not be used: what is
// accepted in the default by a shared statement could be accepted again in the
// other.
//
// Nothing is shared where [Repository] assumes a caller's transaction: through
// [Repository.WithTx], on a connection, and on a ConnPool that wraps a *sql.DB and
// is no [gorm.GetDBConnector]. An idle repository has no goroutine. A dialect
// without shared statements is an error from NewRepository.
func WithGroupCommit() Option {
	return func(r *Repository) error {
		r.groupCommit = true
		return nil
	}
}

// queues are where concurrent calls meet. A nil one makes each call alone.
type queues struct {
	issue, consume, rotate, accept *batch.Queue[*call]
}

// The limits that measured best at 1, 8, 32 and 128 callers: docs/architecture.md
// says what they do.
var (
	groupLimits  = batch.Limits{Alone: 8, Second: 32, Size: 256}
	serialLimits = batch.Limits{Alone: 1, Size: 256}
)

func (r *Repository) newQueues() queues {
	limits := groupLimits
	if r.sql.WritersTakeTurns {
		limits = serialLimits
	}
	queue := func(share func(context.Context, []*call) error) *batch.Queue[*call] {
		return batch.New(limits, func(first, c *call) bool { return c.ttl == first.ttl }, share)
	}
	return queues{
		issue:   queue(r.issueAll),
		consume: queue(func(ctx context.Context, calls []*call) error { return r.consumeAll(ctx, calls, nil) }),
		accept:  batch.New(limits, func(_, _ *call) bool { return true }, r.acceptAll),
		rotate: queue(func(ctx context.Context, calls []*call) error {
			rows, err := r.mintAll(calls)
			if err != nil {
				return err
			}
			return r.consumeAll(ctx, calls, rows)
		}),
	}
}

// share runs what serves calls: one statement, or the steps of a transaction.
func (r *Repository) share(ctx context.Context, calls []*call, do runner, fn func(session.Conn) error) error {
	repeated, err := do(ctx, func(conn session.Conn) error {
		for _, c := range calls {
			c.seen.sends(len(calls))
		}
		return fn(conn)
	})
	for _, c := range calls {
		c.seen.repeats(repeated)
	}
	return err
}
