package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// beyondCases are about clocks and instants outside of the years 1 to 9999: not
// every database's columns hold them.
var beyondCases = []testCase{
	{name: "accepts nothing by a clock beyond the edges", run: clockBeyondEdges},
	{name: "refuses instants beyond the edges", run: instantsBeyondEdges},
	{name: "refuses to issue what lives beyond the edges", run: livesBeyondEdges},
	{name: "accepts sealed entries up to the edges", run: sealedAtEdges},
}

// beyond are clocks that show what no column holds, and the last second that
// one holds: nothing lives past it.
var beyond = []time.Time{
	time.Unix(math.MinInt64, 0),
	time.Date(-1, 6, 1, 0, 0, 0, 0, time.UTC),
	time.Date(0, 6, 1, 0, 0, 0, 0, time.UTC),
	lastSecond,
	lastSecond.Add(time.Second),
	time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600)),
	time.Date(10000, 6, 1, 0, 0, 0, 0, time.UTC),
	time.Unix(math.MaxInt64, 0),
}

func clockBeyondEdges(t *testing.T, e *env) {
	e.store(t, "first", firstSecond, firstSecond.Add(time.Minute))
	e.store(t, "noon", noon, lastSecond)
	e.store(t, "last", lastSecond.Add(-time.Second), lastSecond)
	for i, at := range beyond {
		e.clock.Set(at)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			r := e.WithTx(tx)
			for _, nonce := range []string{"first", "noon", "last"} {
				for _, ttl := range []time.Duration{time.Second, longest} {
					wantIs(t, r.Check(ctx, nonce, ttl), dpopnonce.ErrExpired)
					wantIs(t, r.Consume(ctx, nonce, ttl), dpopnonce.ErrExpired)
				}
			}
			_, err := r.Issue(ctx, time.Second)
			wantInvalid(t, err)
			_, err = r.Sweep(ctx)
			wantIs(t, err, nil)
			_, err = r.Insert(ctx, changeset(fmt.Sprint("after-", i), noon, noon.Add(time.Minute)))
			wantIs(t, err, nil)
			return errRollback
		}), errRollback)
		for _, nonce := range []string{"first", "noon", "last"} {
			wantIs(t, e.Consume(ctx, nonce, longest), dpopnonce.ErrExpired)
		}
	}
}

// wantInvalid fails unless err is a *ValidationError on these fields, or on any.
func wantInvalid(t *testing.T, err error, fields ...string) {
	t.Helper()
	var invalid *dpopnonce.ValidationError
	if !errors.As(err, &invalid) || errors.Is(err, dpopnonce.ErrRejected) {
		t.Fatalf("got %v, want a *ValidationError on %q", err, fields)
	}
	for i, f := range invalid.Errors {
		if len(fields) > 0 && (len(invalid.Errors) != len(fields) || f.Field != fields[i]) {
			t.Fatalf("got %v, want faults of %q", err, fields)
		}
	}
}

func instantsBeyondEdges(t *testing.T, e *env) {
	sent := statements(t, e.db)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		r := e.WithTx(tx)
		for _, at := range beyond {
			if at.Equal(lastSecond) {
				continue
			}
			_, err := r.Insert(ctx, changeset("both", at, at))
			wantInvalid(t, err, "issued_at", "expires_at")
			_, err = r.Insert(ctx, changeset("issued", at, noon))
			wantInvalid(t, err, "issued_at")
			_, err = r.Insert(ctx, changeset("expires", noon, at))
			wantInvalid(t, err, "expires_at")
		}
		wantNoStatement(t, sent)
		_, err := r.Insert(ctx, changeset("whole", firstSecond, lastSecond.Add(time.Second-1)))
		return err
	}), nil)
	e.clock.Set(firstSecond)
	wantIs(t, e.Check(ctx, "whole", time.Second), nil)
	e.clock.Set(lastSecond.Add(-1))
	wantIs(t, e.Consume(ctx, "whole", longest), dpopnonce.ErrExpired)
}

// livesBeyondEdges also looks that a nonce is not spent where its successor
// cannot be issued, and that the refusal needs neither a connection nor a lock.
func livesBeyondEdges(t *testing.T, e *env) {
	almost := lastSecond.Add(-time.Minute)
	e.store(t, "alone", almost, lastSecond)
	e.store(t, "inside", almost, lastSecond)
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // a refusal that waits fails here
	defer cancel()
	refused := func(r *dpopnonce.Repository, at time.Time, ttl time.Duration, fields ...string) {
		t.Helper()
		e.clock.Set(at)
		issued, err := r.Issue(bounded, ttl)
		wantInvalid(t, err, fields...)
		for _, presented := range []string{"alone", "inside", "", "malformed\n"} {
			next, err := r.Rotate(bounded, presented, ttl)
			wantInvalid(t, err, fields...)
			if issued != "" || next != "" {
				t.Fatalf("returned %q and %q", issued, next)
			}
		}
	}
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		e.clock.Set(almost)
		_, err := e.WithTx(tx).Issue(ctx, time.Second)
		wantIs(t, err, nil)
		sent := statements(t, e.db)
		for _, r := range []*dpopnonce.Repository{e.WithTx(tx), e.Repository} {
			refused(r, almost, time.Minute+time.Second, "expires_at")
			refused(r, almost, longest, "expires_at")
			refused(r, lastSecond, time.Second, "expires_at")
			for _, at := range beyond {
				if !at.Equal(lastSecond) {
					refused(r, at, time.Second, "issued_at", "expires_at")
				}
			}
		}
		wantNoStatement(t, sent)
		e.clock.Set(almost)
		return rotate(ctx, e.WithTx(tx), "inside", time.Minute)
	}), nil)
	wantIs(t, rotate(ctx, e.Repository, "alone", time.Minute), nil)
}

func sealedAtEdges(t *testing.T, e *env) {
	sealed := e.sealed(t)
	almost := lastSecond.Add(-time.Minute)
	e.clock.Set(almost)
	for _, ttl := range []time.Duration{time.Minute + time.Second, longest} {
		_, err := sealed.Issue(ctx, ttl)
		wantInvalid(t, err, "expires_at")
		_, err = sealed.Rotate(ctx, "", ttl)
		wantInvalid(t, err, "expires_at")
	}
	nonce, err := sealed.Issue(ctx, time.Minute)
	wantIs(t, err, nil)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		r := sealed.WithTx(tx)
		next, err := r.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		wantIs(t, r.Consume(ctx, nonce, longest), dpopnonce.ErrUsed)
		wantIs(t, r.Check(ctx, next, longest), nil)
		for i, at := range beyond {
			e.clock.Set(at)
			_, err = r.Issue(ctx, time.Second)
			wantInvalid(t, err)
			if err := r.Consume(ctx, next, longest); err == nil {
				t.Fatalf("accepted at %v", at)
			}
			if err := r.Spend(ctx, fmt.Sprint("proof-", i), noon); at.After(noon) && err == nil {
				t.Fatalf("accepted a proof at %v", at)
			}
			wantInvalid(t, r.Spend(ctx, "proof", lastSecond), "until")
		}
		e.clock.Set(lastSecond.Add(-1))
		return r.Consume(ctx, next, longest)
	}), nil)
}
