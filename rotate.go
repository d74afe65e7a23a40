package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
)

// Rotate is Consume and Issue at once: it spends nonce and returns the
// successor, which is good for ttl.
//
// A rejection, as of Consume, comes with a successor as well, since the client
// that is challenged needs one: next is empty only where err is not ErrRejected,
// and nonce may or may not be spent then. A client's first request needs no
// branch: "" is ErrMissing beside a successor.
//
// Where no successor can be issued, as with a ttl that leads past the year 9999,
// it is a *ValidationError, and nothing is spent.
//
// Rotate is one statement on PostgreSQL and one transaction on SQLite. On
// MariaDB the successor is stored first, by itself: a failure then leaves an
// unused nonce that no caller was given. Nowhere does a failure to store the
// successor spend nonce.
func (r *Repository) Rotate(ctx context.Context, nonce string, ttl time.Duration) (next string, err error) {
	err = r.public(ctx, "rotate", func(o *observation) error {
		c, err := r.presenting(ctx, o, nonce, ttl)
		switch {
		case err != nil: // without a statement
		case r.seals, c.entry != nil:
			if c.next, err = r.issue(ctx, o, ttl); err == nil {
				err = r.consumeOnce(c)
			}
		default:
			err = r.whenDone(c, r.queues.rotate.Do(c, r.rotate))
		}
		if err != nil && !errors.Is(err, ErrRejected) {
			return err
		}
		if next = c.next; next != "" {
			return err
		}
		// No statement was sent, or the successor was in the table already.
		var failed error
		if next, failed = r.issue(ctx, o, ttl); failed != nil {
			return failed
		}
		return err
	})
	return next, err
}

func (r *Repository) rotate(c *call) error {
	switch {
	case c.next != "": // a shared statement has stored it, and passed over the nonce
		return r.consume(c)
	case r.sql.Rotate != "":
		return r.unspent(r.oneByOne(c, r.session.Do, r.rotateByOne))
	case r.sql.WritersTakeTurns:
		if _, _, err := lifetime(r.clock(), c.ttl); err != nil { // before BEGIN
			return err
		}
		return r.unspent(r.oneByOne(c, r.session.Transaction, func(conn session.Conn, c *call) (outcome, err error) {
			if _, err := r.store(conn, c); err != nil {
				return nil, err
			}
			return r.consumeRow(conn, c)
		}))
	}
	if err := c.run(r.session.Do, r.store); err != nil {
		return err
	}
	return r.consume(c)
}

// rotateByOne rotates by one statement, whose count of rows is the verdict. The
// successor is left out if it is in the table already.
func (r *Repository) rotateByOne(conn session.Conn, c *call) (outcome, err error) {
	row, err := r.mint(c.ttl)
	if err != nil {
		return nil, err
	}
	c.at, c.next = row.IssuedAt, ""
	c.seen.sends(1)
	rows, err := conn.Exec(r.sql.Rotate, r.judging(c.at, c.ttl, "nonce", c.nonce, "next", row.Nonce, "id", row.ID.String(),
		"issued_at", r.bind(row.IssuedAt), "expires_at", r.bind(row.ExpiresAt)))
	if err != nil {
		return nil, err
	}
	outcomes := [...]error{nil, ErrUsed, ErrExpired, ErrUnknown, errUnspent}
	if rows < 1 || rows > 10 {
		return nil, fmt.Errorf("SQL.Rotate of the dialect returned %d rows", rows)
	}
	if rows <= 5 {
		c.next = row.Nonce
	}
	return outcomes[(rows-1)%5], nil
}
