package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
)

type verb func(context.Context, string, time.Duration) error

func (t *trial) call(v verb, nonce string) error {
	return t.do(func(ctx context.Context) error { return v(ctx, nonce, ttl) })
}

func (t *trial) rotate(r *dpopnonce.Repository, nonce string) (next string, err error) {
	err = t.do(func(ctx context.Context) (err error) {
		next, err = r.Rotate(ctx, nonce, ttl)
		return err
	})
	return next, err
}

func (t *trial) spend(r *dpopnonce.Repository, id string) error {
	until := t.clock.Now().Add(ttl)
	return t.do(func(ctx context.Context) error { return r.Spend(ctx, id, until) })
}

// insert inserts a nonce that is good for ttl.
func (t *trial) insert(r *dpopnonce.Repository, nonce string) error {
	now := t.clock.Now()
	return t.do(func(ctx context.Context) error {
		_, err := r.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
			dpopnonce.IssueAttrs{Nonce: nonce, IssuedAt: now, ExpiresAt: now.Add(ttl)}))
		return err
	})
}

// nonce issues a nonce, from the other pool where this one fails.
func (t *trial) nonce() (nonce string) {
	issue := func(r *dpopnonce.Repository) error {
		return t.do(func(ctx context.Context) (err error) {
			nonce, err = r.Issue(ctx, ttl)
			return err
		})
	}
	if !t.expect("Issue", issue(t.r), nil) {
		t.needs("Issue", issue(t.other))
	}
	t.expect("Issue, then Check of the other pool", t.call(t.other.Check, nonce), nil)
	return nonce
}

// accept expects that a call accepted nonce, and that the other pool sees it.
func (t *trial) accept(step, nonce string, err error) {
	if !t.expect(step, err, nil) {
		_ = t.call(t.other.Consume, nonce) // what comes next expects a used one
		return
	}
	t.mu.Lock()
	t.spent = append(t.spent, nonce)
	t.mu.Unlock()
	t.expect(step+", then Check of the other pool", t.call(t.other.Check, nonce), dpopnonce.ErrUsed)
}

// alone makes each call by itself.
func (t *trial) alone() {
	nonce := t.nonce()
	t.expect("Check", t.call(t.r.Check, nonce), nil)
	t.expect("Check of another spelling", t.call(t.r.Check, otherSpelling(nonce)), dpopnonce.ErrUnknown)
	t.expect("Consume of another spelling", t.call(t.r.Consume, otherSpelling(nonce)), dpopnonce.ErrUnknown)
	t.accept("Consume", nonce, t.call(t.r.Consume, nonce))
	t.expect("Consume again", t.call(t.r.Consume, nonce), dpopnonce.ErrUsed)
	t.expect("Check of a used one", t.call(t.r.Check, nonce), dpopnonce.ErrUsed)

	nonce = t.nonce()
	t.expect("Consume of the other pool", t.call(t.other.Consume, nonce), nil)
	t.expect("Check of one that the other pool used", t.call(t.r.Check, nonce), dpopnonce.ErrUsed)
	t.expect("Consume of one that the other pool used", t.call(t.r.Consume, nonce), dpopnonce.ErrUsed)

	t.rotations()
	t.proofs()
	t.inserts()

	late := []string{t.nonce(), t.nonce(), t.nonce()}
	t.clock.move(ttl - time.Second)
	t.expect("Check in the last second", t.call(t.r.Check, late[0]), nil)
	t.expect("Check of the other pool in the last second", t.call(t.other.Check, late[0]), nil)
	t.accept("Consume in the last second", late[2], t.call(t.r.Consume, late[2]))
	t.clock.move(time.Second)
	t.expect("Check of an expired one", t.call(t.r.Check, late[0]), dpopnonce.ErrExpired)
	t.expect("Consume of an expired one", t.call(t.r.Consume, late[0]), dpopnonce.ErrExpired)
	t.successor("Rotate of an expired one", late[1], dpopnonce.ErrExpired)
}

// successor rotates and looks at the successor.
func (t *trial) successor(step, nonce string, want error) (next string) {
	next, err := t.rotate(t.r, nonce)
	if want == nil {
		t.accept(step, nonce, err)
	} else {
		t.expect(step, err, want)
	}
	if err != nil && !errors.Is(err, dpopnonce.ErrRejected) {
		return t.nonce()
	}
	t.expect(step+", then Check of its successor by the other pool", t.call(t.other.Check, next), nil)
	return next
}

func (t *trial) rotations() {
	nonce := t.nonce()
	t.successor("Rotate of another spelling", otherSpelling(nonce), dpopnonce.ErrUnknown)
	next := t.successor("Rotate", nonce, nil)
	t.successor("Rotate again", nonce, dpopnonce.ErrUsed)
	t.accept("Consume of the successor", next, t.call(t.r.Consume, next))
	t.successor("Rotate of an unknown one", "unknown", dpopnonce.ErrUnknown)
	t.successor("Rotate of none", "", dpopnonce.ErrMissing)
	t.expect("Consume of an unknown one", t.call(t.r.Consume, "unknown"), dpopnonce.ErrUnknown)
	t.expect("Check of an unknown one", t.call(t.r.Check, "unknown"), dpopnonce.ErrUnknown)
}

func (t *trial) proofs() {
	id := uuid.NewString()
	if !t.expect("Spend", t.spend(t.r, id), nil) {
		return
	}
	t.expect("Spend, then Spend of the other pool", t.spend(t.other, id), dpopnonce.ErrReplayed)
	t.expect("Spend again", t.spend(t.r, id), dpopnonce.ErrReplayed)
}

// inserts inserts every character that a nonce may have.
func (t *trial) inserts() {
	nonce := "!#$%&'()*+,-./:;<=>?@[]^_`{|}~" + uuid.NewString()
	if !t.expect("Insert", t.insert(t.r, nonce), nil) {
		return
	}
	t.expect("Insert, then Check of the other pool", t.call(t.other.Check, nonce), nil)
	t.expect("Insert again", t.insert(t.r, nonce), dpopnonce.ErrDuplicate)
	other := t.insert(t.r, otherSpelling(nonce))
	t.accept("Consume of an inserted one", nonce, t.call(t.r.Consume, nonce))
	// The index of a column that ignores case takes the other spelling for the same.
	if !errors.Is(other, dpopnonce.ErrDuplicate) && t.expect("Insert of another spelling", other, nil) {
		t.expect("Check of the other spelling", t.call(t.r.Check, otherSpelling(nonce)), nil)
	}
}

// transactions are the caller's.
func (t *trial) transactions() {
	first, second, third, proof := t.nonce(), t.nonce(), t.nonce(), uuid.NewString()
	tx := t.db.WithContext(t.ctx).Begin()
	in := t.r.WithTx(tx)
	ok := t.expect("Consume in a transaction", t.call(in.Consume, first), nil) && t.expect("Spend in a transaction", t.spend(in, proof), nil)
	t.expect("Rollback", tx.Rollback().Error, nil)
	if !ok {
		return
	}
	t.expect("Rollback, then Check of the other pool", t.call(t.other.Check, first), nil)
	t.accept("Consume after a rollback", first, t.call(t.r.Consume, first))
	t.expect("Spend after a rollback", t.spend(t.r, proof), nil)

	tx = t.db.WithContext(t.ctx).Begin()
	in = t.r.WithTx(tx)
	if !t.sealed { // a sealed one is in the table once it is used
		t.expect("Insert of a duplicate in a transaction", t.insert(in, second), dpopnonce.ErrDuplicate)
	}
	t.expect("Consume of a used one in a transaction", t.call(in.Consume, first), dpopnonce.ErrUsed)
	consumed := t.call(in.Consume, second)
	next, rotated := t.rotate(in, third)
	if err := tx.Commit().Error; err != nil {
		t.expect("Commit", err, nil)
		return
	}
	t.accept("Consume in a transaction", second, consumed)
	t.accept("Rotate in a transaction", third, rotated)
	if rotated == nil {
		t.expect("Rotate in a transaction, then Check of its successor", t.call(t.other.Check, next), nil)
	}
}

// otherSpelling swaps the case of letters.
func otherSpelling(nonce string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z':
			return c - 'A' + 'a'
		}
		return c
	}, nonce)
}
