package dpopnonce

import (
	"context"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
	"github.com/google/uuid"
)

// Issue stores a new nonce that is good for ttl, floored to whole seconds, and
// returns it: 216 random bits (RFC 9449 section 8 asks for unpredictable ones)
// behind the time of issue, in 44 URL-safe characters. Nonces that were issued
// before stay good.
//
// On PostgreSQL, outside a transaction, this statement alone has
// synchronous_commit off: a crash of the server may lose the nonces of its last
// moments, which costs each of their clients one more challenge. An acceptance
// always waits for the disk, since losing it would allow a replay.
//
// With [WithSealer] it stores nothing, sends no statement and does not look at
// ctx: 144 random bits and a tag of 128, in 60 characters.
//
// A ttl under one second is [ErrTTL]. A ttl or a clock that leads out of the
// years 1 to 9999 is a *ValidationError, and no statement is sent. Any other
// error is a failure of the server, and no nonce was handed out; call again.
func (r *Repository) Issue(ctx context.Context, ttl time.Duration) (nonce string, err error) {
	err = r.public(ctx, "issue", func(o *observation) (err error) {
		nonce, err = r.issue(ctx, o, ttl)
		return err
	})
	return nonce, err
}

func (r *Repository) issue(ctx context.Context, o *observation, ttl time.Duration) (nonce string, err error) {
	c, err := r.newCall(ctx, o, ttl)
	switch {
	case err != nil:
		return "", err
	case r.seals:
		err = r.seal(c)
	default:
		err = r.queues.issue.Do(c, func(c *call) error { return c.run(r.session.Do, r.store) })
	}
	if err != nil {
		return "", err
	}
	return c.next, nil
}

// maxCollisions is how many new nonces in a row may be in the table already.
// Random ones never are: two are no accident.
const maxCollisions = 2

// store inserts a new nonce.
func (r *Repository) store(conn session.Conn, c *call) (outcome, err error) {
	insert := r.sql.Insert
	if r.sql.InsertAsync != "" && !conn.InTransaction() {
		insert = r.sql.InsertAsync
	}
	for n := 0; n < maxCollisions; n++ {
		row, err := r.mint(c.ttl)
		if err != nil {
			return nil, err
		}
		c.seen.sends(1)
		inserted, err := r.insert(conn, insert, &row, true)
		if err != nil {
			return nil, err
		}
		if inserted {
			c.next = row.Nonce
			return nil, nil
		}
	}
	return nil, r.unchanged("INSERT counts no row")
}

// mint returns the row of a new nonce.
func (r *Repository) mint(ttl time.Duration) (row DPoPNonce, err error) {
	clock := r.clock()
	if row.IssuedAt, row.ExpiresAt, err = lifetime(clock, ttl); err != nil {
		return row, err
	}
	if row.Nonce, err = newNonce(clock); err != nil {
		return row, err
	}
	row.ID, err = uuid.NewV7()
	return row, err
}

// lifetime returns the instants of a nonce that is issued now, or why no column
// holds them.
func lifetime(now time.Time, ttl time.Duration) (issued, expires time.Time, err error) {
	issued = wholeSecond(now)
	expires = issued.Add(ttl)
	if !storable(issued) || !storable(expires) {
		err = IssueChangeset(DPoPNonce{}, IssueAttrs{"-", issued, expires}).Err()
	}
	return issued, expires, err
}
