package dpopnonce

import (
	"errors"
	"fmt"
	"strings"
)

// ErrRejected is the error of every nonce that is not acceptable. Answer
// use_dpop_nonce with a new nonce (RFC 9449 sections 8 and 9): the reasons
// below are for logs and metrics, not for the client.
//
// Any other error of [Repository.Check], [Repository.Consume] or
// [Repository.Rotate] is a failure of the server (5xx).
var ErrRejected = errors.New("dpopnonce: nonce rejected")

// Why a nonce was rejected. Each satisfies errors.Is(err, ErrRejected).
var (
	// ErrMissing is returned by Check, Consume and Rotate: the nonce is "", as
	// of a client's first request.
	ErrMissing = fmt.Errorf("%w: missing", ErrRejected)

	// ErrUnknown is returned by Check, Consume and Rotate: the nonce was not
	// issued here, was swept, or is malformed.
	ErrUnknown = fmt.Errorf("%w: unknown", ErrRejected)

	// ErrExpired is returned by Check, Consume and Rotate: the nonce was issued
	// here, and is out of its time.
	ErrExpired = fmt.Errorf("%w: expired", ErrRejected)

	// ErrUsed is returned by Check, Consume and Rotate: the nonce was accepted
	// before, expired since or not. ConsumeChangeset reports it as well.
	ErrUsed = fmt.Errorf("%w: already used", ErrRejected)
)

// ErrReplayed is returned by Spend: the proof was accepted before. It does not
// satisfy errors.Is(err, ErrRejected), since a new nonce does not help.
var ErrReplayed = errors.New("dpopnonce: proof replayed")

// ErrDuplicate is returned by Insert, as a *ValidationError: the nonce is
// already in the table. Nothing was written; insert another value.
var ErrDuplicate = errors.New("dpopnonce: nonce has already been taken")

// ErrTTL is returned by Issue, Check, Consume and Rotate for a ttl under one
// second, and by Sealer.Current for one under two, before anything else: nothing
// was issued or spent.
var ErrTTL = errors.New("dpopnonce: ttl too short")

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

// The faults that errors.Is finds a sentinel for.
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
