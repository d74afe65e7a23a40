package dpopnonce

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Consume spends nonce. Of all callers, on all nodes, it returns nil to exactly
// one: acceptance is one conditional UPDATE, judged by its count of rows.
//
// The nonce must have been issued here, never used, not be at or past its
// expires_at, and have been issued no more than ttl ago, all in whole seconds;
// a ttl under the one it was issued for shortens its life, a longer one does
// not lengthen it.
//
// Rejections satisfy errors.Is(err, ErrRejected): [ErrUnknown], [ErrUsed] and
// [ErrExpired], in this order where several hold. A value that is no nonce by
// its form (RFC 9449 section 8.1) is ErrUnknown without a query. Answer
// use_dpop_nonce with a fresh nonce, which [Repository.Rotate] has at hand.
//
// A ttl under one second is ErrTTL. Any other error is a failure of the server
// (5xx): the nonce may or may not be spent, and the client comes back for a new
// one. Where ctx ends while the statement runs, it may be spent as well. A
// table without its unique index on nonce is such a failure.
//
// Call it after everything else about the proof was verified, so that garbage
// does not spend nonces.
func (r *Repository) Consume(ctx context.Context, nonce string, ttl time.Duration) error {
	ttl, err := wholeTTL(ttl)
	if err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	if !wellFormed(nonce) {
		return ErrUnknown
	}
	var rejection error
	plain := func() (err error) {
		rejection, err = r.consumePlain(ctx, nonce, ttl)
		return err
	}
	if r.groups == nil {
		err = plain()
	} else {
		c := &call{ctx: ctx, nonce: nonce, ttl: ttl}
		if err = r.groups.consume.do(c, plain); c.shared {
			rejection = c.rejection
		}
	}
	if err != nil {
		return err
	}
	return rejection
}

func (r *Repository) consumePlain(ctx context.Context, nonce string, ttl time.Duration) (rejection, err error) {
	err = r.run(ctx, "consume", func(db *gorm.DB) (err error) {
		rejection, err = r.consume(ctx, db, nonce, ttl)
		return err
	})
	return rejection, err
}

// Rotate is Consume and Issue at once: it spends nonce and returns the
// successor, which is good for ttl.
//
// A rejection, as of Consume, comes with a fresh successor too, since the
// client that is challenged needs one: next is empty only where err is not
// ErrRejected. Then, as for Consume, nonce may or may not be spent, and there
// is no successor to hand out.
//
// Both happen or neither does: one statement on PostgreSQL, one transaction on
// the others, which on a connection of the caller's ([gorm.DB.Connection]) is
// the caller's to begin. A successor that is taken is minted again; the consume is never
// run twice.
func (r *Repository) Rotate(ctx context.Context, nonce string, ttl time.Duration) (next string, err error) {
	if ttl, err = wholeTTL(ttl); err != nil {
		return "", err
	}
	if !wellFormed(nonce) {
		return r.issueBeside(ctx, ErrUnknown, ttl)
	}
	var rejection error
	plain := func() (err error) {
		next, rejection, err = r.rotatePlain(ctx, nonce, ttl)
		return err
	}
	if r.groups == nil {
		err = plain()
	} else {
		c := &call{ctx: ctx, nonce: nonce, ttl: ttl}
		err = r.groups.rotate.do(c, func() (err error) {
			if c.next == "" {
				return plain()
			}
			next = c.next // it is stored, and only the consume has to be alone
			rejection, err = r.consumePlain(ctx, nonce, ttl)
			return err
		})
		if c.shared {
			next, rejection = c.next, c.rejection
		}
	}
	switch {
	case err != nil:
		return "", err
	case next == "": // taken, and the consume is done
		return r.issueBeside(ctx, rejection, ttl)
	}
	return next, rejection
}

// rotatePlain rotates for one caller. The successor is empty if it is taken.
func (r *Repository) rotatePlain(ctx context.Context, nonce string, ttl time.Duration) (next string, rejection, err error) {
	if !r.statements.rotate.absent() {
		err = r.run(ctx, "rotate", func(db *gorm.DB) (err error) {
			next, rejection, err = r.rotate(ctx, db, nonce, ttl)
			return err
		})
		return next, rejection, err
	}
	err = r.runAtomically(ctx, "rotate", func(db *gorm.DB) (err error) {
		if next, err = r.issue(ctx, db, ttl); err != nil {
			return err
		}
		rejection, err = r.consume(ctx, db, nonce, ttl) // last: see runAtomically
		return err
	})
	return next, rejection, err
}

// issueBeside issues the successor for an outcome that is certain already.
func (r *Repository) issueBeside(ctx context.Context, outcome error, ttl time.Duration) (string, error) {
	next, err := r.Issue(ctx, ttl)
	if err != nil {
		return "", err
	}
	return next, outcome
}

// rotate is consume and issue in one statement. The successor is empty if it
// is taken.
func (r *Repository) rotate(ctx context.Context, db *gorm.DB, nonce string, ttl time.Duration) (next string, rejection, err error) {
	clock := r.clock()
	if next, err = newNonce(clock); err != nil {
		return "", nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", nil, err
	}
	now := wholeSecond(clock)
	outcome, err := r.exec(ctx, db, r.statements.rotate, &params{
		id: id, nonce: nonce, next: next, now: now, ttl: ttl, issuedAt: now, expiresAt: now.Add(ttl),
	})
	if err != nil {
		return "", nil, err
	}
	if outcome > 4 {
		next, outcome = "", outcome-4
	}
	switch outcome {
	case 1:
		return next, nil, nil
	case 2:
		return next, ErrUsed, nil
	case 3:
		return next, ErrExpired, nil
	case 4:
		return next, ErrUnknown, nil
	}
	return "", nil, fmt.Errorf("dialect %s: SQL.Rotate returned %d rows", r.dialect.Name(), outcome)
}

// Valid reports whether nonce was issued here, is unused and expires after
// now. It only reads: it is for servers that accept a nonce again inside its
// window and track jti (RFC 9449 section 11.1). A nonce that is valid now may
// be spent a moment later, so that Valid never stands in for Consume.
//
// A value that is no nonce by its form is false without a query. An error is a
// failure of the server.
func (r *Repository) Valid(ctx context.Context, nonce string) (valid bool, err error) {
	if !wellFormed(nonce) {
		return false, r.err
	}
	err = r.run(ctx, "valid", func(db *gorm.DB) (err error) {
		p := params{nonce: nonce, now: r.now()}
		if r.statements.counted {
			rows, err := r.exec(ctx, db, r.statements.valid, &p)
			valid = rows > 0
			return err
		}
		_, valid, err = r.queryText(ctx, db, r.statements.valid, &p)
		return err
	})
	return valid && err == nil, err
}

// consume spends nonce or says why not. The rejection is apart from the error,
// because a transaction commits with it.
func (r *Repository) consume(ctx context.Context, db *gorm.DB, nonce string, ttl time.Duration) (rejection, err error) {
	p := params{nonce: nonce, now: r.now(), ttl: ttl}
	rows, err := r.exec(ctx, db, r.statements.consume, &p)
	switch {
	case err != nil:
		return nil, err
	case rows == 1:
		return nil, nil
	case rows != 0:
		return nil, fmt.Errorf("%d rows have one nonce: %w", rows, r.noUniqueIndex())
	}
	reason, found, err := r.queryText(ctx, db, r.statements.reason, &p)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return ErrUnknown, nil
	case reason == "expired":
		return ErrExpired, nil
	default:
		// Used, or unused as seen by a snapshot from before the winner: the
		// UPDATE has judged already, and it changed nothing.
		return ErrUsed, nil
	}
}
