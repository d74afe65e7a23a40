package dpopnonce

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
	"github.com/google/uuid"
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

// An entry is what accepts a sealed nonce or a proof: a row that is inserted
// used, by exactly one caller.
type entry struct {
	row   DPoPNonce
	taken error                     // the outcome if the row is there
	judge func(now time.Time) error // nil while it may be accepted
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

// accept makes the call of an entry. However long its INSERT took, and whatever
// was swept meanwhile, what is out of time by then is not accepted; its row
// stays, which is harmless.
func (r *Repository) accept(c *call) error {
	queue := r.queues.accept
	if r.queues.alone.has(c.nonce) { // a transaction may hold its row
		queue = nil
	}
	err := queue.Do(c, func(c *call) error {
		defer r.queues.alone.add(c.nonce)()
		return c.run(r.session.Do, r.acceptAlone)
	})
	if err == nil {
		err = c.entry.judge(r.now())
	}
	return err
}

func (r *Repository) acceptAlone(conn session.Conn, c *call) (outcome, err error) {
	now := r.now()
	if outcome = c.entry.judge(now); outcome != nil {
		return outcome, nil
	}
	row, err := r.used(c, &now)
	if err != nil {
		return nil, err
	}
	c.seen.sends(1)
	inserted, err := r.insert(conn, r.sql.Insert, &row, !r.sql.NonceIDs)
	if err == nil && !inserted {
		outcome = c.entry.taken
	}
	return outcome, err
}

// used returns the row of an entry.
func (r *Repository) used(c *call, now *time.Time) (row DPoPNonce, err error) {
	row = c.entry.row
	row.UsedAt = now
	sealed := !row.IssuedAt.IsZero()
	if !sealed {
		row.IssuedAt = *now
	}
	if !r.sql.NonceIDs {
		row.ID, err = uuid.NewV7()
		return row, err
	}
	digest := sha256.Sum256([]byte(row.Nonce))
	row.ID = uuid.UUID(digest[:16])
	if sealed { // in order of time, so that new rows lie together in a large table
		var seconds [8]byte
		binary.BigEndian.PutUint64(seconds[:], uint64(row.IssuedAt.Unix()))
		copy(row.ID[:6], seconds[2:])
	}
	row.ID[6] = row.ID[6]&0x0f | 0x80 // version 8, of the application's own making
	row.ID[8] = row.ID[8]&0x1f | 0xa0 // MariaDB's uuid type refuses 0x80 here
	return row, nil
}
