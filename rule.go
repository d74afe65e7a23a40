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
	return append(append(make(session.Values, 0, len(values)+8), values...),
		"now", r.dialect.Instant(now),
		"next_second", r.dialect.Instant(now.Add(time.Second)),
		"oldest", r.dialect.Instant(now.Add(-ttl)),
		"too_new", r.dialect.Instant(now.Add(Tolerance+time.Second)))
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

// A verdict is what a statement says of one nonce in the table.
type verdict struct {
	used, fresh bool
	id          string
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
