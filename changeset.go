package dpopnonce

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxNonce is the size of the nonce column, in characters.
const maxNonce = 255

// IssueAttrs are the values that IssueChangeset casts.
type IssueAttrs struct {
	Nonce               string
	IssuedAt, ExpiresAt time.Time
}

// Changeset is a checked change to one row, made by IssueChangeset or
// ConsumeChangeset. It writes nothing by itself.
type Changeset struct {
	issue   bool
	row     DPoPNonce
	changes map[string]any
	faults  []FieldError
}

// IssueChangeset checks a nonce for [Repository.Insert]. Of row only the ID is
// kept: the rest comes from attrs, and used_at stays nil. The instants are
// floored to whole seconds in UTC before they are compared.
//
// Faults, all reported at once: a blank nonce (all white space included) or a
// zero instant "can't be blank"; a nonce over 255 characters or outside NQCHAR
// (RFC 9449 section 8.1); an instant outside of the years 1 to 9999; an
// expires_at that is not after issued_at.
func IssueChangeset(row DPoPNonce, attrs IssueAttrs) Changeset {
	c := Changeset{issue: true, row: DPoPNonce{ID: row.ID}}
	if strings.TrimSpace(attrs.Nonce) == "" {
		c.fault("nonce", blank)
	} else {
		c.row.Nonce = attrs.Nonce
		c.change("nonce", attrs.Nonce)
		if !onlyNQCHAR(attrs.Nonce) {
			c.fault("nonce", "has invalid format")
		}
		if utf8.RuneCountInString(attrs.Nonce) > maxNonce {
			c.fault("nonce", fmt.Sprintf("should be at most %d character(s)", maxNonce))
		}
	}
	issued := c.castInstant("issued_at", attrs.IssuedAt, &c.row.IssuedAt)
	expires := c.castInstant("expires_at", attrs.ExpiresAt, &c.row.ExpiresAt)
	if issued && expires && !c.row.ExpiresAt.After(c.row.IssuedAt) {
		c.fault("expires_at", "must be after issued_at")
	}
	return c
}

// ConsumeChangeset checks that row can be stamped as used at usedAt, and writes
// used_at only. It is for applications that stamp a row themselves, by a guarded
// update, as in the example. [Repository.Consume] does all of it at once.
//
// Faults: a zero usedAt "can't be blank"; it must be in the years 1 to 9999; a
// row that was used before satisfies errors.Is(err, ErrUsed), and nothing is
// changed.
func ConsumeChangeset(row DPoPNonce, usedAt time.Time) Changeset {
	c := Changeset{row: row}
	var used time.Time
	if c.castInstant("used_at", usedAt, &used) {
		c.row.UsedAt = &used
	}
	if row.UsedAt != nil {
		c.faults, c.row, c.changes = append(c.faults, errFieldUsed), row, nil
	}
	return c
}

// Valid reports whether the changeset has no fault.
func (c Changeset) Valid() bool { return len(c.faults) == 0 }

// Changes returns the columns that this changeset writes, by column name:
// string and time.Time values. The map is the caller's own.
func (c Changeset) Changes() map[string]any {
	changes := make(map[string]any, len(c.changes))
	for column, value := range c.changes {
		changes[column] = value
	}
	return changes
}

// Row returns the row with the changes applied.
func (c Changeset) Row() DPoPNonce {
	row := c.row
	if row.UsedAt != nil {
		used := *row.UsedAt
		row.UsedAt = &used
	}
	return row
}

// Err returns nil, or a *ValidationError with every fault.
func (c Changeset) Err() error {
	if c.Valid() {
		return nil
	}
	return &ValidationError{Errors: append([]FieldError(nil), c.faults...)}
}

const blank = "can't be blank"

// castInstant changes a column to the whole second of t, unless that is blank or
// not in the years that every database's columns hold.
func (c *Changeset) castInstant(column string, t time.Time, to *time.Time) bool {
	t = wholeSecond(t)
	switch {
	case t.IsZero():
		c.fault(column, blank)
		return false
	case !storable(t):
		c.fault(column, "must be in the years 1 to 9999")
		return false
	}
	*to = t
	c.change(column, t)
	return true
}

func (c *Changeset) change(column string, value any) {
	if c.changes == nil {
		c.changes = make(map[string]any, 3)
	}
	c.changes[column] = value
}

func (c *Changeset) fault(field, message string) {
	c.faults = append(c.faults, FieldError{field, message})
}
