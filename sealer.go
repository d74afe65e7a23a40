package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce/internal/seal"
)

// Sealer issues nonces that prove themselves: each carries its time and a tag
// (HMAC-SHA256) that only a holder of a key can make, in 60 URL-safe characters.
// Nothing is stored, and no database is asked. RFC 9449 section 8 leaves the form
// of a nonce to the server.
//
// A Sealer accepts a nonce until it expires, as often as it comes: it is for
// servers that refuse a proof that they have seen (section 11.1).
//
// It is safe for concurrent use. Nodes with the same purpose and keys, and clocks
// within [Tolerance], accept one another's nonces. NewSealer makes one: with any
// other, every call is an error.
type Sealer struct {
	purpose string
	clock   func() time.Time           // nil only where NewSealer did not make it
	keys    atomic.Pointer[[]seal.Key] // the first seals; fmt does not follow it
}

// SealerConfig is what NewSealer needs.
type SealerConfig struct {
	// Purpose says what the nonces are for, such as "https://as.example/token". It
	// is required, without white space around it, such as the line end of a file.
	// Nonces of another purpose are unknown, so that two roles that share a key by
	// mistake stay apart (RFC 9449 section 9).
	Purpose string

	// Keys is at least one key. The first seals, and all open.
	Keys []Key

	// Clock is time.Now if nil. It is called from many goroutines and may answer
	// in any zone.
	Clock func() time.Time
}

// NewSealer returns a Sealer. A blank purpose, white space around it, no keys, the
// zero Key, and one secret twice among the keys are errors.
func NewSealer(c SealerConfig) (*Sealer, error) {
	s := &Sealer{purpose: c.Purpose, clock: c.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	err := s.setKeys(c.Keys)
	switch trimmed := strings.TrimSpace(c.Purpose); {
	case trimmed == "":
		err = errors.New("blank purpose")
	case trimmed != c.Purpose:
		err = errors.New("white space around the purpose")
	}
	if err != nil {
		return nil, fmt.Errorf("dpopnonce: new sealer: %w", err)
	}
	return s, nil
}

// made returns an error for a Sealer that NewSealer did not make.
func (s *Sealer) made() error {
	if s.clock == nil {
		return errors.New("a Sealer not made by NewSealer")
	}
	return nil
}

// SetKeys replaces all keys at once: the first seals, and all open. No keys, the
// zero Key, and one secret twice are errors, which change nothing. Calls that are
// under way use the keys from before or the new ones.
//
// To replace a key without rejecting a nonce that has not expired, take three
// steps, each on all nodes before the next: add the new key as the last one; make
// it the first one; drop the old one when the longest ttl has passed (and
// [Tolerance], where clocks differ). To reject all nonces at once, as after a key
// has leaked, replace all keys.
func (s *Sealer) SetKeys(keys ...Key) error {
	err := s.made()
	if err == nil {
		err = s.setKeys(keys)
	}
	if err != nil {
		return fmt.Errorf("dpopnonce: set keys: %w", err)
	}
	return nil
}

func (s *Sealer) setKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("no keys")
	}
	set := make([]seal.Key, len(keys))
	for i, k := range keys {
		if k.seal == nil {
			return errors.New("a zero Key among the keys")
		}
		for _, earlier := range set[:i] {
			if k.seal.Equal(earlier) {
				return fmt.Errorf("%v twice among the keys", k)
			}
		}
		set[i] = k.seal
	}
	s.keys.Store(&set)
	return nil
}

// Issue returns a new nonce that is good for ttl, floored to whole seconds, with
// 144 random bits and a tag of 128. It does no I/O and ignores the context.
//
// A ttl under one second is [ErrTTL]. Any other error is a failure of the server
// (5xx): a clock before 1970, or no randomness.
func (s *Sealer) Issue(_ context.Context, ttl time.Duration) (nonce string, err error) {
	if ttl, err = wholeTTL(ttl); err != nil {
		return "", err
	}
	if err = s.made(); err == nil {
		nonce, err = s.seal("", wholeSecond(s.clock()), ttl)
	}
	if err != nil {
		return "", fmt.Errorf("dpopnonce: issue: %w", err)
	}
	return nonce, nil
}

// Check returns nil for a nonce that a Sealer with one of the keys and the same
// purpose issued, until the nonce's own ttl or the one given here has passed. It
// spends nothing: refuse a proof that you have seen, for as long as a nonce lives
// (RFC 9449 section 11.1). It does no I/O and ignores the context.
//
// A ttl under one second is [ErrTTL], before anything else. Rejections, which the
// client answers with a new nonce: [ErrMissing] for ""; [ErrUnknown] for one
// that was not issued so, or was changed; [ErrExpired] for one that is out of its
// time, or was issued more than [Tolerance] ahead of the clock. Any other error
// is a failure of the server (5xx): a clock before 1970.
func (s *Sealer) Check(_ context.Context, nonce string, ttl time.Duration) error {
	ttl, err := wholeTTL(ttl)
	if err != nil {
		return err
	}
	if err := s.made(); err != nil {
		return fmt.Errorf("dpopnonce: check: %w", err)
	}
	if nonce == "" {
		return ErrMissing
	}
	issued, expires, opened := s.open("", nonce)
	if !opened {
		return ErrUnknown
	}
	err = judge(issued, expires, wholeSecond(s.clock()), ttl)
	if err != nil && err != ErrExpired {
		return fmt.Errorf("dpopnonce: check: %w", err)
	}
	return err
}

// Current returns the nonce of the moment, which Check with the same ttl accepts
// for at least half of ttl from now. It changes every half of ttl, floored to
// whole seconds, and is the same on all nodes with the same purpose, first key
// and ttl: behind a balancer a client meets a new nonce only when one is due.
// Without the key nobody can tell the next one.
//
// A ttl under two seconds is [ErrTTL]. Any other error is a failure of the server
// (5xx): a clock before 1970.
func (s *Sealer) Current(ttl time.Duration) (nonce string, err error) {
	if ttl < 2*time.Second {
		return "", ErrTTL
	}
	if err = s.made(); err == nil {
		nonce, err = s.current(s.clock().Unix(), int64(ttl/time.Second))
	}
	if err != nil {
		return "", fmt.Errorf("dpopnonce: current: %w", err)
	}
	return nonce, nil
}

func (s *Sealer) current(now, seconds int64) (nonce string, err error) {
	if now < 0 {
		return "", seal.ErrClock
	}
	return s.sealing().Derive(s.scope(""), now-now%(seconds/2), seconds)
}

// seal returns a new nonce for a table, or "" for the Sealer itself. Callers read
// the clock before: a nonce that dates from after a change of keys is then sealed
// by the new first key, however long the call is held up.
func (s *Sealer) seal(table string, issued time.Time, ttl time.Duration) (string, error) {
	return s.sealing().Seal(s.scope(table), issued.Unix(), int64(ttl/time.Second))
}

// open returns the instants that a nonce for a table carries, and reports whether
// one of the keys sealed it.
func (s *Sealer) open(table, nonce string) (issued, expires time.Time, opened bool) {
	at, ttl, opened := seal.Open(*s.keys.Load(), s.scope(table), nonce)
	return time.Unix(at, 0).UTC(), time.Unix(at+ttl, 0).UTC(), opened
}

func (s *Sealer) scope(table string) seal.Scope {
	return seal.Scope{Purpose: s.purpose, Table: table}
}

// sealing returns the key that seals.
func (s *Sealer) sealing() seal.Key { return (*s.keys.Load())[0] }
