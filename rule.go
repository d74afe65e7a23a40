package dpopnonce

import (
	"time"

	"github.com/attesto/dpopnonce/internal/seal"
	"github.com/attesto/dpopnonce/internal/session"
)

// Tolerance is what the clocks of nodes may differ: no reading of any node's
// clock may be ahead of a later reading of any node's by more than it, skew and
// setting back together. A nonce that was issued further ahead is expired.
const Tolerance = 5 * time.Minute

// wholeSecond floors t to the second, in UTC and without a monotonic reading:
// the one form in which instants are stored, bound and compared.
func wholeSecond(t time.Time) time.Time {
	return t.UTC().Truncate(time.Second)
}

// wholeTTL floors ttl to whole seconds.
func wholeTTL(ttl time.Duration) (time.Duration, error) {
	if ttl < time.Second {
		return 0, ErrTTL
	}
	return ttl.Truncate(time.Second), nil
}

// now returns the current whole second.
func (r *Repository) now() time.Time { return wholeSecond(r.clock()) }

// The rule of time: a nonce is fresh at now for a ttl while
//
//	expires_at > now AND now - ttl <= issued_at <= now + Tolerance
//
// in whole seconds. Databases judge stored nonces, in the form that dialects.SQL
// documents: no stored instant is compared in Go.

// judging returns values, and what a statement needs to judge nonces by the rule.
func (r *Repository) judging(now time.Time, ttl time.Duration, values ...any) session.Values {
	bounds := r.bounds.Load()
	if bounds == nil || !bounds.now.Equal(now) || bounds.ttl != ttl {
		bounds = r.boundsAt(now, ttl)
		r.bounds.Store(bounds)
	}
	return append(append(make(session.Values, 0, len(values)+len(bounds.values)), values...), bounds.values...)
}

// bounds are what statements bind to judge by the rule. The calls of one second
// have them in common: a database that stores text is given text.
type bounds struct {
	now    time.Time
	ttl    time.Duration
	values session.Values
}

func (r *Repository) boundsAt(now time.Time, ttl time.Duration) *bounds {
	oldest, tooNew := now.Add(-ttl), now.Add(Tolerance+time.Second)
	if !now.Before(lastSecond) { // no next second can be bound: nothing is fresh
		oldest = tooNew
	}
	return &bounds{now, ttl, session.Values{
		"now", r.bind(now),
		"next_second", r.bind(now.Add(time.Second)),
		"oldest", r.bind(oldest),
		"too_new", r.bind(tooNew)}}
}

// The first and the last second that the columns of every database hold.
var firstSecond, lastSecond = time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

func storable(t time.Time) bool { return !t.Before(firstSecond) && !t.After(lastSecond) }

// bind returns the value to bind for t, or for the nearest second that a
// column holds.
func (r *Repository) bind(t time.Time) any {
	switch {
	case t.Before(firstSecond):
		t = firstSecond
	case t.After(lastSecond):
		t = lastSecond
	}
	return r.dialect.Instant(t)
}

// judge applies the rule to the instants that a sealed nonce carries, in whole
// seconds. Apart from nil and ErrExpired it returns the failure of a clock that
// is before 1970.
func judge(issued, expires, now time.Time, ttl time.Duration) error {
	switch {
	case now.Unix() < 0:
		return seal.ErrClock
	case !expires.After(now), issued.Before(now.Add(-ttl)), issued.After(now.Add(Tolerance)):
		return ErrExpired
	}
	return nil
}

// A verdict is what a statement says of one nonce in the table. A foreign one is
// of a row whose instants something else wrote, and dialects.Foreign read.
type verdict struct {
	used, fresh, foreign bool
	id                   string
}

// outcome returns why the nonce is rejected, and otherwise for one that looks
// unused and fresh.
func (v verdict) outcome(otherwise error) error {
	switch {
	case v.used:
		return ErrUsed
	case !v.fresh:
		return ErrExpired
	}
	return otherwise
}
