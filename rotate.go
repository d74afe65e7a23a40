package dpopnonce

import (
	"context"
	"errors"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
)

// Rotate is Consume and Issue at once: it spends nonce and returns the
// successor, which is good for ttl.
//
// A rejection, as of Consume, comes with a successor as well, since the client
// that is challenged needs one: next is empty only where err is not ErrRejected.
// Then, as for Consume, nonce may or may not be spent, and there is no successor
// to hand out. A client's first request needs no branch: "" is ErrMissing beside
// a successor.
//
// Rotate is one statement on PostgreSQL and one transaction on SQLite. On
// MariaDB the successor is stored first, by itself: a failure then leaves an
// unused nonce that nobody was given. Everywhere a failure to store the
// successor spends nothing. A successor that is in the table already is minted
// again; nonce is never consumed twice.
func (r *Repository) Rotate(ctx context.Context, nonce string, ttl time.Duration) (next string, err error) {
	err = r.public("rotate", func() error {
		c, err := r.presenting(ctx, nonce, ttl)
		if err == nil {
			err = r.queues.rotate.Do(c, r.rotate)
		}
		if err != nil && !errors.Is(err, ErrRejected) {
			return err
		}
		if next = c.next; next != "" {
			return err
		}
		// The nonce is malformed, or its successor was in the table already.
		issued, failed := r.newCall(ctx, ttl)
		if failed == nil {
			next, failed = r.issue(issued)
		}
		if failed != nil {
			return failed
		}
		return err
	})
	return next, err
}

func (r *Repository) rotate(c *call) (outcome error) {
	var err error
	switch {
	case c.next != "": // a shared statement has stored it, and passed over the nonce
		return r.consume(c)
	case r.sql.Rotate != "":
		err = r.session.Do(c.Context, func(conn session.Conn) (err error) {
			outcome, err = r.rotateByOne(conn, c)
			return err
		})
	case r.sql.WritersTakeTurns:
		err = r.session.Transaction(c.Context, func(conn session.Conn) (err error) {
			if c.next, err = r.store(conn, c.ttl); err != nil {
				return err
			}
			outcome, err = r.spend(conn, c)
			return err
		})
	default:
		if err := r.issueAlone(c); err != nil {
			return err
		}
		return r.consume(c)
	}
	if err != nil {
		return err
	}
	return r.whenDone(c, outcome)
}

// rotateByOne rotates by one statement. The successor is left out if it is in
// the table already.
func (r *Repository) rotateByOne(conn session.Conn, c *call) (outcome, err error) {
	row, err := r.mint(c.ttl)
	if err != nil {
		return nil, err
	}
	c.at, c.next = row.IssuedAt, ""
	values := r.judging(r.newRow(&row), c.at, c.ttl)
	values["nonce"], values["next"] = c.nonce, row.Nonce
	var accepted, stored bool
	var used, fresh *bool
	if _, err := conn.Row(r.sql.Rotate, values, &accepted, &stored, &used, &fresh); err != nil {
		return nil, err
	}
	if stored {
		c.next = row.Nonce
	}
	switch {
	case accepted:
		return nil, nil
	case used == nil || fresh == nil:
		return ErrUnknown, nil
	}
	return verdict{*used, *fresh}.outcome(ErrUsed), nil
}
