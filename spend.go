package dpopnonce

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/attesto/dpopnonce/internal/batch"
)

// Spend accepts a proof once: of all callers, on all nodes, it returns nil to
// exactly one. It is for servers that accept a nonce again inside its window (see
// [Repository.Check]): RFC 9449 section 11.1 has them refuse a proof that they
// have seen. Acceptance is one INSERT, judged by its count of
// rows; the table is the one of the nonces, or another, by [WithTable].
//
// id identifies the proof: the thumbprint of its key and its jti, both verified,
// and nothing of the request. It may have any length; a hash of it is stored.
// until is when the proof stops being acceptable anyway, the same for all nodes;
// its row stays for [Tolerance] longer, and [Repository.Sweep] deletes it.
//
// A proof that was accepted before is [ErrReplayed]: refuse it, a new nonce
// does not help. An until that is not after now, in whole seconds, is
// [ErrExpired], also where it has passed by the time the INSERT is done. An empty
// id, and an until whose row would pass the year 9999, are a *ValidationError.
// Any other error is a failure of the server (5xx): the proof may or may not be
// spent.
//
// Call it last, when nothing else can refuse the request. In a transaction, by
// [Repository.WithTx], a rollback gives the proof back.
func (r *Repository) Spend(ctx context.Context, id string, until time.Time) error {
	return r.public(ctx, "spend", func(o *observation) error {
		e, err := newProof(id, until)
		if err != nil {
			return err
		}
		if err := r.ready(ctx); err != nil {
			return err
		}
		if err := e.judge(r.now()); err != nil {
			return err
		}
		return r.accept(&call{Call: batch.Call{Context: ctx}, nonce: e.row.Nonce, entry: e, seen: o})
	})
}

// newProof returns the entry of a proof.
func newProof(id string, until time.Time) (*entry, error) {
	last := wholeSecond(until.Add(time.Second - 1)).Add(Tolerance)
	var faults []FieldError
	if id == "" {
		faults = append(faults, FieldError{"id", blank})
	}
	if until.After(lastSecond.Add(-Tolerance)) {
		faults = append(faults, FieldError{"until", "must be before the year 10000"})
	}
	if faults != nil {
		return nil, &ValidationError{Errors: faults}
	}
	digest := sha256.Sum256([]byte(id))
	return &entry{
		row:   DPoPNonce{Nonce: base64.RawURLEncoding.EncodeToString(digest[:]), ExpiresAt: last},
		taken: ErrReplayed,
		judge: func(now time.Time) error {
			if !wholeSecond(until).After(now) {
				return ErrExpired
			}
			return nil
		},
	}, nil
}
