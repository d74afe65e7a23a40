package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm/clause"
)

// A presenter presents a nonce in one of the library's ways.
type presenter struct {
	present func(ctx context.Context, r *dpopnonce.Repository, nonce string, ttl time.Duration) error
	spends  bool // an accepted nonce is used afterwards
}

var (
	consuming     = presenter{present: consume, spends: true}
	rotating      = presenter{present: rotate, spends: true}
	checking      = presenter{present: check}
	checkingFirst = presenter{present: checkAndConsume, spends: true}
)

func consume(ctx context.Context, r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	return r.Consume(ctx, nonce, ttl)
}

// rotate also fails if a successor is missing.
func rotate(ctx context.Context, r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	next, err := r.Rotate(ctx, nonce, ttl)
	if next == "" && (err == nil || errors.Is(err, dpopnonce.ErrRejected)) {
		return errors.New("no successor")
	}
	return err
}

func check(ctx context.Context, r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	return r.Check(ctx, nonce, ttl)
}

// checkAndConsume also fails if the two disagree.
func checkAndConsume(ctx context.Context, r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	checked, consumed := r.Check(ctx, nonce, ttl), r.Consume(ctx, nonce, ttl)
	if !errors.Is(checked, consumed) {
		return fmt.Errorf("checked: %v, consumed: %v", checked, consumed)
	}
	return consumed
}

// A limit is a row at one of the limits of acceptance, and its outcome at
// judgedAt with judgedTTL.
type limit struct {
	name            string
	issued, expires time.Time
	used            bool
	presented       func(nonce string) string // the nonce itself if nil
	want            error
}

const judgedTTL = 10 * time.Second

var (
	judgedAt = noon.Add(judgedTTL)
	later    = judgedAt.Add(time.Hour)
	newest   = judgedAt.Add(dpopnonce.Tolerance)
)

var limits = []limit{
	{name: "last-second", issued: noon, expires: judgedAt.Add(time.Second)},
	{name: "at-expires-at", issued: noon, expires: judgedAt, want: dpopnonce.ErrExpired},
	{name: "as-old-as-ttl", issued: noon, expires: later},
	{name: "older-than-ttl", issued: noon.Add(-time.Second), expires: later, want: dpopnonce.ErrExpired},
	{name: "ahead-by-tolerance", issued: newest, expires: later},
	{name: "ahead-of-tolerance", issued: newest.Add(time.Second), expires: later, want: dpopnonce.ErrExpired},
	{name: "used-and-expired", issued: noon, expires: judgedAt, used: true, want: dpopnonce.ErrUsed},
	{name: "used-and-old", issued: noon.Add(-time.Second), expires: later, used: true, want: dpopnonce.ErrUsed},
	{name: "used-and-ahead", issued: newest.Add(time.Second), expires: later, used: true, want: dpopnonce.ErrUsed},
	{name: "used-and-fresh", issued: noon, expires: later, used: true, want: dpopnonce.ErrUsed},
	{name: "other-case", issued: noon, expires: later, want: dpopnonce.ErrUnknown,
		presented: func(nonce string) string { return "O" + nonce[1:] }},
}

// judges presents n nonces at each of the limits, all at the same moment, so
// that most of them share statements under group commit. Each must get the
// outcome of its limit. Only those that p accepts and spends may become used, at
// judgedAt.
func judges(n int, p presenter, opts ...dpopnonce.Option) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		total := n * len(limits)
		of := func(i int) (limit, string) {
			l := limits[i%len(limits)]
			return l, fmt.Sprintf("%s-%03d", l.name, i)
		}
		wantSpent := 0
		for i := 0; i < total; i++ {
			l, nonce := of(i)
			e.store(t, nonce, l.issued, l.expires)
			if l.used {
				e.clock.Set(l.issued)
				wantIs(t, e.consume(nonce), nil)
			}
			if l.want == nil && p.spends {
				wantSpent++
			}
		}
		e.clock.Set(judgedAt.Add(time.Second - 1)) // floored
		r := e.repository(t, e.db, opts...)
		connect(t, e.db)
		for i, err := range race(total, func(i int) error {
			l, nonce := of(i)
			if l.presented != nil {
				nonce = l.presented(nonce)
			}
			return p.present(ctx, r, nonce, judgedTTL)
		}) {
			l, nonce := of(i)
			if !errors.Is(err, l.want) {
				t.Fatalf("%s: got %v, want %v", nonce, err, l.want)
			}
			if used, want := e.used(t, nonce), l.used || l.want == nil && p.spends; used != want {
				t.Fatalf("%s: used is %v, want %v", nonce, used, want)
			}
		}
		e.store(t, "accepted-at", judgedAt, later)
		got := e.count(t, "used_at = (SELECT issued_at FROM ? WHERE nonce = 'accepted-at')", clause.Table{Name: e.table})
		if got != wantSpent {
			t.Fatalf("%d rows have the time of acceptance in used_at, want %d", got, wantSpent)
		}
	}
}
