package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
)

// Consume spends nonce. Of all callers, on all nodes, it returns nil to exactly
// one: acceptance is one conditional UPDATE, judged by its count of rows.
//
// The nonce must be unused, not at or past its expires_at, and issued no more
// than ttl ago and no more than [Tolerance] ahead, in whole seconds. A ttl under
// the one it was issued for shortens its life; a longer one does not lengthen
// it. However long the call waited for a connection or a row, a nonce that
// expired meanwhile is ErrExpired, and spent.
//
// Rejections satisfy errors.Is(err, ErrRejected): [ErrUnknown], [ErrUsed] and
// [ErrExpired], in this order where several hold. "" is [ErrMissing], and a
// malformed nonce (RFC 9449 section 8.1) ErrUnknown, both without a statement.
// Answer use_dpop_nonce with a new nonce, which [Repository.Rotate] returns.
//
// A ttl under one second is [ErrTTL]. Any other error, as of a ctx that ends, is
// a failure of the server (5xx): the nonce may or may not be spent, and the
// client comes back for a new one.
//
// Call it after everything else about the proof was verified, so that invalid
// proofs cannot spend nonces.
func (r *Repository) Consume(ctx context.Context, nonce string, ttl time.Duration) error {
	return r.present(ctx, "consume", nonce, ttl, r.consumeOnce)
}

// consumeOnce makes the call of a Consume.
func (r *Repository) consumeOnce(c *call) error {
	if c.entry != nil {
		return r.accept(c)
	}
	return r.whenDone(c, r.queues.consume.Do(c, r.consume))
}

func (r *Repository) consume(c *call) error {
	err := r.oneByOne(c, r.session.Do, r.consumeRow)
	if err == errUnspent && !r.session.InTransaction {
		// Once more, in a transaction: no other writer intervenes, and the primary
		// answers.
		err = r.oneByOne(c, r.session.Transaction, r.consumeRow)
	}
	return r.unspent(err)
}

// errUnspent is the outcome of a nonce that looks unused and fresh after the
// UPDATE has changed no row.
var errUnspent = errors.New("unspent")

// unspent returns the outcome that stands for errUnspent: in a caller's
// transaction, that a snapshot is from before the winner.
func (r *Repository) unspent(outcome error) error {
	switch {
	case outcome != errUnspent:
		return outcome
	case r.session.InTransaction:
		return ErrUsed
	}
	return r.unchanged("UPDATE spends no nonce")
}

// consumeRow accepts a stored nonce or finds out why not.
func (r *Repository) consumeRow(conn session.Conn, c *call) (outcome, err error) {
	return r.consumeBy(conn, c, r.sql.Consume)
}

// consumeBy is consumeRow by the dialect's Consume, and by its Foreign.Consume where the
// row turns out to need it.
func (r *Repository) consumeBy(conn session.Conn, c *call, sql string) (outcome, err error) {
	c.at = r.now()
	c.seen.sends(1)
	rows, err := conn.Exec(sql, r.judging(c.at, c.ttl, "nonce", c.nonce))
	switch {
	case err != nil:
		return nil, err
	case rows == 1:
		return nil, nil
	case rows > 1:
		return nil, fmt.Errorf("%d rows have one nonce: %w", rows, r.noUniqueIndex())
	}
	v, found, err := r.look(conn, c.nonce, c.at, c.ttl)
	if !found {
		return ErrUnknown, err
	}
	outcome = v.outcome(errUnspent)
	if outcome == errUnspent && v.foreign && sql == r.sql.Consume {
		return r.consumeBy(conn, c, r.sql.Foreign.Consume)
	}
	return outcome, err
}

// isLate reports whether the clock's second has changed since c was judged.
func (r *Repository) isLate(c *call) bool { return !r.now().Equal(c.at) }

// whenDone returns the outcome of c now that its statement is done. A statement
// may have waited, and what it accepted may have expired.
func (r *Repository) whenDone(c *call, outcome error) error {
	if outcome != nil || !r.isLate(c) {
		return outcome
	}
	return c.run(r.session.Do, func(conn session.Conn, c *call) (outcome, err error) {
		v, _, err := r.look(conn, c.nonce, r.now(), c.ttl)
		return verdict{fresh: v.fresh}.outcome(nil), err
	})
}
