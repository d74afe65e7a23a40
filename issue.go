package dpopnonce

import (
	"context"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Insert stores the row of an IssueChangeset, in one statement, and returns it.
// An ID that the base row had is kept; without one it gets a UUIDv7.
//
// A changeset that is not valid, or not an issue changeset, is a
// *ValidationError and never reaches the database. A nonce that is in the
// table already is a *ValidationError that satisfies errors.Is(err,
// ErrDuplicate): nothing was written, and a caller's transaction stays usable.
// Any other error is the database's; the row may or may not be there.
func (r *Repository) Insert(ctx context.Context, c Changeset) (DPoPNonce, error) {
	if err := c.Err(); err != nil {
		return DPoPNonce{}, err
	}
	if !c.issue {
		return DPoPNonce{}, IssueChangeset(DPoPNonce{}, IssueAttrs{}).Err()
	}
	row := c.Row()
	inserted := false
	err := r.run(ctx, "insert", func(db *gorm.DB) (err error) {
		p := params{id: row.ID, nonce: row.Nonce, issuedAt: row.IssuedAt, expiresAt: row.ExpiresAt}
		row.ID, inserted, err = r.insert(ctx, db, r.statements.insert, p)
		if err != nil && r.dialect.Fault(err) == dialects.Taken {
			// Where the nonce is taken as well, which of both is told depends on
			// the database.
			if _, taken, failed := r.queryText(ctx, db, r.statements.reason, &p); failed == nil && taken {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return DPoPNonce{}, err
	}
	if !inserted {
		return DPoPNonce{}, &ValidationError{Errors: []FieldError{errFieldTaken}}
	}
	return row, nil
}

// Issue stores a new nonce that is good for ttl, floored to whole seconds, and
// returns it: 216 random bits (RFC 9449 section 8 asks for unpredictable ones)
// behind the time of issue, in 44 URL-safe characters. Nonces that were issued
// before stay good.
//
// On PostgreSQL, outside a transaction, the insert is committed with
// synchronous_commit off, for this statement only: a crash of the server may
// lose the nonces of its last moments, which costs each of their clients one
// more challenge. Consume and Rotate always wait for the commit as the server
// is configured, since a lost acceptance would be a replay.
//
// A ttl under one second is ErrTTL. Any other error is a failure of the
// database or its context, and no nonce was handed out; call again.
func (r *Repository) Issue(ctx context.Context, ttl time.Duration) (nonce string, err error) {
	if ttl, err = wholeTTL(ttl); err != nil {
		return "", err
	}
	plain := func() error {
		return r.run(ctx, "issue", func(db *gorm.DB) (err error) {
			nonce, err = r.issue(ctx, db, ttl)
			return err
		})
	}
	if r.groups == nil {
		err = plain()
	} else {
		c := &call{ctx: ctx, ttl: ttl}
		if err = r.groups.issue.do(c, plain); c.shared {
			nonce = c.next
		}
	}
	if err != nil {
		return "", err
	}
	return nonce, nil
}

// maxCollisions is how many nonces may be taken in a row. Random ones never
// collide: whatever makes ten do so is no accident.
const maxCollisions = 10

// manyIssues is how many nonces a repository has issued before the unique index
// is taken for granted. The statement that does so is another one to prepare on
// each connection, and pays for those who issue often.
const manyIssues = 1000

// issue stores a new nonce. One that is taken is minted again.
func (r *Repository) issue(ctx context.Context, db *gorm.DB, ttl time.Duration) (string, error) {
	async := !r.statements.insertAsync.absent() && !r.callerTx && !inTransaction(db)
	for n := 0; n < maxCollisions; n++ {
		insert := r.statements.insert
		switch {
		case async && r.issued.Load() >= manyIssues && !r.statements.insertAsyncAgain.absent():
			insert = r.statements.insertAsyncAgain
		case async:
			insert = r.statements.insertAsync
		}
		clock := r.clock()
		nonce, err := newNonce(clock)
		if err != nil {
			return "", err
		}
		now := wholeSecond(clock)
		_, inserted, err := r.insert(ctx, db, insert, params{nonce: nonce, issuedAt: now, expiresAt: now.Add(ttl)})
		switch {
		case inserted:
			if async && r.issued.Load() < manyIssues {
				r.issued.Add(1)
			}
			return nonce, nil
		case async && err != nil && r.dialect.Fault(err) == dialects.Taken:
			// Both the nonce and the id are minted again.
		case err != nil:
			return "", err
		}
	}
	return "", fmt.Errorf("%d new nonces in a row were taken", maxCollisions)
}

// insert adds one row and returns its id. It is false for a nonce that is
// taken.
func (r *Repository) insert(ctx context.Context, db *gorm.DB, insert statement, p params) (id uuid.UUID, inserted bool, err error) {
	if p.id == uuid.Nil {
		if p.id, err = uuid.NewV7(); err != nil {
			return uuid.Nil, false, err
		}
	}
	rows, err := r.exec(ctx, db, insert, &p)
	if err != nil && r.dialect.Fault(err) == dialects.Duplicate {
		return p.id, false, nil
	}
	return p.id, err == nil && rows == 1, err
}
