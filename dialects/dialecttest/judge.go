package dialecttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm/clause"
)

// A spender spends a nonce in one of the library's ways.
type spender func(r *dpopnonce.Repository, nonce string, ttl time.Duration) error

func consuming(r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	return r.Consume(ctx, nonce, ttl)
}

func rotating(r *dpopnonce.Repository, nonce string, ttl time.Duration) error {
	next, err := r.Rotate(ctx, nonce, ttl)
	if next == "" && (err == nil || errors.Is(err, dpopnonce.ErrRejected)) {
		return errors.New("no successor")
	}
	return err
}

// judgedCase is that every form of a statement has one rule: at noon + 10s and
// with a ttl of 10s, n nonces on either side of each of its limits are spent
// all at once, so that with group commit most of them share statements.
func judgedCase(name string, needs func(features) bool, n int, spend spender, opts ...dpopnonce.Option) testCase {
	return testCase{name: name, needs: needs, run: func(t *testing.T, e *env) {
		const ttl = 10 * time.Second
		now := noon.Add(ttl)
		limits := []struct {
			name            string
			issued, expires time.Time
			used            bool
			presented       func(nonce string) string
			want            error
		}{
			{name: "last-second", issued: noon, expires: now.Add(time.Second)},
			{name: "at-expires-at", issued: noon, expires: now, want: dpopnonce.ErrExpired},
			{name: "older-than-ttl", issued: noon.Add(-time.Second), expires: now.Add(time.Hour), want: dpopnonce.ErrExpired},
			{name: "used-and-expired", issued: noon, expires: now, used: true, want: dpopnonce.ErrUsed},
			{name: "used-and-fresh", issued: noon, expires: now.Add(time.Hour), used: true, want: dpopnonce.ErrUsed},
			{name: "other-case", issued: noon, expires: now.Add(time.Hour), want: dpopnonce.ErrUnknown,
				presented: func(nonce string) string { return "O" + nonce[1:] }},
		}
		nonce := func(i int) string { return fmt.Sprintf("%s-%03d", limits[i%len(limits)].name, i) }
		total := n * len(limits)
		for i := 0; i < total; i++ {
			limit := limits[i%len(limits)]
			e.store(t, nonce(i), limit.issued, limit.expires)
			if limit.used {
				wantIs(t, e.consume(nonce(i)), nil)
			}
		}
		e.clock.Set(now.Add(time.Second - 1)) // floored
		r := e.repository(t, e.db, opts...)
		connect(t, e.db)
		for i, err := range race(total, func(i int) error {
			presented := nonce(i)
			if limit := limits[i%len(limits)]; limit.presented != nil {
				presented = limit.presented(presented)
			}
			return spend(r, presented, ttl)
		}) {
			limit := limits[i%len(limits)]
			if !errors.Is(err, limit.want) {
				t.Fatalf("%s: got %v, want %v", nonce(i), err, limit.want)
			}
			if spent := e.used(t, nonce(i)); spent != (limit.want == nil || limit.used) {
				t.Fatalf("%s: used_at is written: %v", nonce(i), spent)
			}
		}
		e.store(t, "accepted-at", now, now.Add(time.Hour))
		table := clause.Table{Name: e.table}
		if got := e.count(t, "used_at = (SELECT issued_at FROM ? WHERE nonce = 'accepted-at')", table); got != n {
			t.Fatalf("%d rows have the time of acceptance in used_at, want %d", got, n)
		}
	}}
}
