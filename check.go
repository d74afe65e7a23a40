package dpopnonce

import (
	"context"
	"database/sql"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
)

// Check returns nil if [Repository.Consume] with the same arguments would accept
// nonce now, and spends nothing: for servers that accept a nonce again inside
// its window and refuse a proof that they have seen (RFC 9449 section 11.1). A
// nonce may be spent a moment later, so that Check never stands in for Consume.
//
// Errors are those of Consume: [ErrTTL], the rejections [ErrMissing],
// [ErrUnknown], [ErrUsed] and [ErrExpired], and failures of the server (5xx).
//
// It is one statement on the primary. Inside a caller's transaction it sees what
// the transaction sees: that Consume would accept holds outside only.
func (r *Repository) Check(ctx context.Context, nonce string, ttl time.Duration) error {
	return r.present(ctx, "check", nonce, ttl, func(c *call) error {
		if c.entry != nil {
			return c.run(r.session.Do, r.checkSealed)
		}
		err := c.run(r.session.Do, r.check)
		if err == nil && r.isLate(c) {
			err = c.run(r.session.Do, r.check)
		}
		return err
	})
}

func (r *Repository) check(conn session.Conn, c *call) (outcome, err error) {
	c.at = r.now()
	c.seen.sends(1)
	v, found, err := r.look(conn, c.nonce, c.at, c.ttl)
	if !found {
		return ErrUnknown, err
	}
	return v.outcome(nil), err
}

// look reads the verdict on a nonce, and reports whether it is in the table.
func (r *Repository) look(conn session.Conn, nonce string, now time.Time, ttl time.Duration) (v verdict, found bool, err error) {
	values := r.judging(now, ttl, "nonce", nonce)
	var fresh sql.NullBool
	found, err = conn.Row(r.sql.Verdict, values, &v.used, &fresh, &v.id)
	if v.foreign = found && !fresh.Valid && r.sql.Foreign != nil; v.foreign {
		found, err = conn.Row(r.sql.Foreign.Verdict, values, &v.used, &fresh, &v.id)
	}
	v.fresh = fresh.Bool
	return v, found, err
}
