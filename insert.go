package dpopnonce

import (
	"context"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/seal"
	"github.com/attesto/dpopnonce/internal/session"
	"github.com/google/uuid"
)

// Insert stores the row of an IssueChangeset, in one statement, and returns it.
// An ID that the base row had is kept; without one it gets a UUIDv7.
//
// A changeset that is not valid, or not an issue changeset, is a
// *ValidationError and never reaches the database. So is a nonce of the sealed
// form (60 characters of base64url that begin with "s"): its row would pass for a
// sealed nonce that was used. A nonce that is in the table already is a
// *ValidationError that satisfies errors.Is(err, ErrDuplicate): nothing was
// written, and a caller's transaction stays usable. Any other error is the
// database's; the row may or may not be there.
func (r *Repository) Insert(ctx context.Context, c Changeset) (row DPoPNonce, err error) {
	err = r.public(ctx, "insert", func(o *observation) error {
		if err := c.Err(); err != nil {
			return err
		}
		if !c.issue {
			return IssueChangeset(DPoPNonce{}, IssueAttrs{}).Err()
		}
		if seal.HasForm(c.row.Nonce) {
			return &ValidationError{Errors: []FieldError{{"nonce", "has the form of a sealed nonce"}}}
		}
		if err := r.ready(ctx); err != nil {
			return err
		}
		row = c.Row()
		newID := row.ID == uuid.Nil
		if newID {
			var err error
			if row.ID, err = uuid.NewV7(); err != nil {
				return err
			}
		}
		inserted := false
		repeated, err := r.session.Do(ctx, func(conn session.Conn) (err error) {
			o.sends(1)
			inserted, err = r.insert(conn, r.sql.Insert, &row, newID)
			return err
		})
		o.repeats(repeated)
		if err == nil && !inserted {
			return &ValidationError{Errors: []FieldError{errFieldTaken}}
		}
		return err
	})
	if err != nil {
		return DPoPNonce{}, err
	}
	return row, nil
}

// insert adds a row, and reports whether it did: not if the nonce is in the
// table. Under a new id, a row that is found there is the one that was added, by
// a trigger that counts none.
func (r *Repository) insert(conn session.Conn, sql string, row *DPoPNonce, newID bool) (inserted bool, err error) {
	rows, err := conn.Exec(sql, r.newRow(row))
	if err == nil && (rows == 1 || r.counted.Load()) {
		r.counted.Store(true)
		return rows == 1, nil
	}
	if err != nil {
		fault, _ := r.dialect.Fault(err)
		switch {
		case fault == dialects.DuplicateNonce, fault == dialects.DuplicateKey && row.UsedAt != nil && r.sql.NonceIDs:
			return false, nil
		case fault != dialects.DuplicateKey: // of the id, or of both
			return false, err
		}
	}
	v, found, failed := r.look(conn, row.Nonce, row.IssuedAt, time.Second)
	switch {
	case failed == nil && found && (err != nil || !newID || !strings.EqualFold(v.id, row.ID.String())):
		return false, nil
	case failed == nil && found && row.UsedAt == nil:
		return true, nil
	case failed == nil && found: // only a count accepts
		err = r.unchanged("INSERT counts no row")
	case err == nil && failed == nil:
		err = r.unchanged("INSERT stores no row")
	case err == nil:
		err = failed
	}
	return false, err
}

// newRow are the values of an INSERT.
func (r *Repository) newRow(row *DPoPNonce) session.Values {
	return session.Values{"id", row.ID.String(), "nonce", row.Nonce,
		"issued_at", r.bind(row.IssuedAt), "expires_at", r.bind(row.ExpiresAt), "used_at", r.instant(row.UsedAt)}
}

// instant returns the value to bind for used_at: NULL while a nonce is unused.
func (r *Repository) instant(t *time.Time) any {
	if t == nil {
		return nil
	}
	return r.bind(*t)
}
