package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

// A call is one caller's question and its answer. Its outcome is an error: nil
// if the nonce was issued or accepted, a rejection, or a failure.
type call struct {
	batch.Call
	nonce string        // what the caller presents
	ttl   time.Duration // in whole seconds
	at    time.Time     // the whole second by which nonce was judged
	next  string        // the new nonce that is stored for the caller
	entry *entry        // by which nonce is accepted, unless it is stored
	seen  *observation  // nil without an observer
}

// ready returns why no call of the repository can run with ctx, or nil.
func (r *Repository) ready(ctx context.Context) error {
	if r.err == nil && ctx == nil {
		return errors.New("nil context")
	}
	return r.err
}

// newCall returns the call of an Issue.
func (r *Repository) newCall(ctx context.Context, o *observation, ttl time.Duration) (c *call, err error) {
	if ttl, err = wholeTTL(ttl); err != nil {
		return nil, err
	}
	return &call{Call: batch.Call{Context: ctx}, ttl: ttl, seen: o}, r.ready(ctx)
}

// presenting returns the call of a caller that presents a nonce. It comes with a
// rejection where no statement is needed to judge.
func (r *Repository) presenting(ctx context.Context, o *observation, nonce string, ttl time.Duration) (*call, error) {
	c, err := r.newCall(ctx, o, ttl)
	switch {
	case err != nil:
		return nil, err
	case nonce == "":
		return c, ErrMissing
	case !wellFormed(nonce):
		return c, ErrUnknown
	}
	c.nonce = nonce
	o.presents(nonce)
	return c, r.unseal(c)
}

// A step runs the statements of a call. Its outcome is apart from the error,
// because a transaction commits with it.
type step func(session.Conn, *call) (outcome, err error)

// A runner is Session.Do or Session.Transaction.
type runner func(context.Context, func(session.Conn) error) (repeated int, err error)

// run makes a call.
func (c *call) run(do runner, s step) error {
	var outcome error
	repeated, err := do(c.Context, func(conn session.Conn) (err error) {
		outcome, err = s(conn, c)
		return err
	})
	c.seen.repeats(repeated)
	if err != nil {
		return err
	}
	return outcome
}

// public runs a public call from its first check to its error, and shows it to
// the observer if there is one.
func (r *Repository) public(ctx context.Context, operation string, do func(*observation) error) (err error) {
	if r.observe == nil {
		return r.failure(operation, do(nil))
	}
	o := &observation{begun: time.Now()}
	err = errNoReturn
	defer func() { r.show(ctx, operation, o, err) }()
	err = r.failure(operation, do(o))
	return err
}

// failure returns the error of a public call for what it ended with. A failure
// names the call, and what the operator can do about it if the dialect knows.
func (r *Repository) failure(operation string, err error) error {
	if err == nil || isAnswer(err) {
		return err
	}
	if fault, advice := r.dialect.Fault(err); fault == dialects.NoUniqueIndex {
		err = fmt.Errorf("%w: %w", r.noUniqueIndex(), err)
	} else if advice != "" {
		err = fmt.Errorf("%s: %w", advice, err)
	}
	return fmt.Errorf("dpopnonce: %s: %w", operation, err)
}

// unchanged is the failure of a statement that changes no row where it must.
func (r *Repository) unchanged(statement string) error {
	text := fmt.Sprintf("%s in %s", statement, r.table)
	if r.sql.Unchanged != "" {
		text += ": look for " + r.sql.Unchanged
	}
	return errors.New(text)
}

// noUniqueIndex is the failure of a table on which a nonce could be accepted
// twice.
func (r *Repository) noUniqueIndex() error {
	return fmt.Errorf("table %s has no unique index on nonce alone: create %s, or drop what has that name and run Migrate",
		r.table, r.table.NonceIndex())
}

// present is public for a call that presents a nonce.
func (r *Repository) present(ctx context.Context, operation, nonce string, ttl time.Duration, do func(*call) error) error {
	return r.public(ctx, operation, func(o *observation) error {
		c, err := r.presenting(ctx, o, nonce, ttl)
		if err != nil {
			return err
		}
		return do(c)
	})
}

// isAnswer reports whether err is no failure, and goes to the caller as it is.
func isAnswer(err error) bool {
	var invalid *ValidationError
	return errors.Is(err, ErrRejected) || err == ErrReplayed || err == ErrTTL || errors.As(err, &invalid)
}
