package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/attesto/dpopnonce/dialects"
)

// ErrRejected is the error of every nonce that is not acceptable. Answer
// use_dpop_nonce with a fresh nonce (RFC 9449 sections 8 and 9): the reasons
// below are for logs and metrics, not for the client.
//
// Any other error of [Repository.Consume] or [Repository.Rotate] is a failure
// of the server (5xx).
var ErrRejected = errors.New("dpopnonce: nonce rejected")

// Why a nonce was rejected. Each satisfies errors.Is(err, ErrRejected).
var (
	// ErrMissing: the proof carries no nonce. Returned by no method of
	// Repository; package dpophttp reports it.
	ErrMissing = fmt.Errorf("%w: missing", ErrRejected)

	// ErrUnknown is returned by Consume and Rotate: the nonce was not issued
	// here, was swept, or cannot be a nonce at all.
	ErrUnknown = fmt.Errorf("%w: unknown", ErrRejected)

	// ErrExpired is returned by Consume and Rotate: the nonce was issued here
	// and never used, but too long ago.
	ErrExpired = fmt.Errorf("%w: expired", ErrRejected)

	// ErrUsed is returned by Consume and Rotate: the nonce was accepted
	// before, expired since or not. ConsumeChangeset reports it too.
	ErrUsed = fmt.Errorf("%w: already used", ErrRejected)
)

// ErrDuplicate is returned by Insert, as a *ValidationError: the nonce is
// already in the table. Nothing was written; insert another value.
var ErrDuplicate = errors.New("dpopnonce: nonce has already been taken")

// ErrTTL is returned by Issue, Consume and Rotate for a ttl under one second,
// before anything else is looked at: nothing was issued or spent.
var ErrTTL = errors.New("dpopnonce: ttl under one second")

// FieldError is one fault of a changeset: a column and what is wrong with it.
type FieldError struct {
	Field, Message string
}

// ValidationError lists every fault of a changeset, in column order. It never
// holds a nonce.
type ValidationError struct {
	Errors []FieldError
}

func (e *ValidationError) Error() string {
	faults := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		faults[i] = f.Field + " " + f.Message
	}
	return "dpopnonce: invalid: " + strings.Join(faults, ", ")
}

// The faults that callers tell apart by a sentinel.
var (
	errFieldTaken = FieldError{"nonce", "has already been taken"}
	errFieldUsed  = FieldError{"used_at", "has already been used"}
)

// Unwrap makes errors.Is find ErrDuplicate for a nonce that is taken, and
// ErrUsed for a row that was used before.
func (e *ValidationError) Unwrap() []error {
	var sentinels []error
	for _, f := range e.Errors {
		switch f {
		case errFieldTaken:
			sentinels = append(sentinels, ErrDuplicate)
		case errFieldUsed:
			sentinels = append(sentinels, ErrUsed)
		}
	}
	return sentinels
}

// failed is the error of a public call. A context that ended is in it by name,
// whatever the driver made of it, and so is what to do where that is known.
func (r *Repository) failed(ctx context.Context, call string, err error) error {
	switch r.dialect.Fault(err) {
	case dialects.NoUniqueIndex:
		err = fmt.Errorf("%w: %w", r.noUniqueIndex(), err)
	case dialects.Unprepared:
		err = fmt.Errorf("a pooler changed the connection of a prepared statement: "+
			"add default_query_exec_mode=cache_describe to the DSN and leave PrepareStmt off: %w", err)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return fmt.Errorf("dpopnonce: %s: %w", call, err)
}

// noUniqueIndex is the failure of a table on which a nonce could be accepted
// twice.
func (r *Repository) noUniqueIndex() error {
	return fmt.Errorf("table %s has no unique index on nonce: create %s, or run Migrate",
		r.table, r.table.NonceIndex())
}
