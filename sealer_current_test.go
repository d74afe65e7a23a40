package dpopnonce

import (
	"math"
	"testing"
	"time"
)

// TestCurrentIsTheSameOnAllNodes walks two nodes through the seconds of several
// lives.
func TestCurrentIsTheSameOnAllNodes(t *testing.T) {
	keys := []Key{NewKey(), NewKey()}
	a, b := newSealerAt(t, "p", keys[0]), newSealerAt(t, "p", keys[0], keys[1])
	for ttl, half := range map[time.Duration]time.Duration{
		2 * time.Second:                  time.Second,
		3 * time.Second:                  time.Second,
		4*time.Second - 1:                time.Second,
		11*time.Second + time.Second/2:   5 * time.Second,
		time.Minute:                      30 * time.Second,
		5*time.Minute + 3*time.Second/2:  150 * time.Second,
		10*time.Minute + 7*time.Second/2: 301 * time.Second,
	} {
		last := ""
		for now := noon; now.Before(noon.Add(4 * ttl)); now = now.Add(time.Second) {
			a.now, b.now = now, now.Add(time.Second-1).In(time.FixedZone("east", 9*3600))
			nonce := a.current(t, ttl)
			if other := b.current(t, ttl); other != nonce {
				t.Fatalf("ttl %v at %v: two nodes, two nonces", ttl, now.Sub(noon))
			}
			due := now.Unix()%int64(half/time.Second) == 0
			if last != "" && (nonce != last) != due {
				t.Fatalf("ttl %v at %v: another one: %v, due: %v", ttl, now.Sub(noon), nonce != last, due)
			}
			last = nonce
			a.want(t, nonce, ttl, nil)
			a.now = now.Add(half + time.Second - 1) // the last instant that has to be left
			a.want(t, nonce, ttl, nil)
		}
	}
}

func TestCurrentExpiresWithItsTTL(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	s.now = noon.Add(29 * time.Second) // noon is a multiple of 30 seconds
	nonce := s.current(t, time.Minute)
	s.now = noon.Add(time.Minute - 1)
	s.want(t, nonce, time.Minute, nil)
	s.want(t, nonce, time.Hour, nil)
	s.now = noon.Add(time.Minute)
	s.want(t, nonce, time.Minute, ErrExpired)
	s.want(t, nonce, time.Hour, ErrExpired)
}

func TestCurrentDependsOnKeyPurposeTTLAndTime(t *testing.T) {
	k := NewKey()
	s := newSealerAt(t, "p", k)
	seen := map[string]bool{}
	for name, nonce := range map[string]string{
		"itself":        s.current(t, time.Minute),
		"another key":   newSealerAt(t, "p", NewKey(), k).current(t, time.Minute),
		"its purpose":   newSealerAt(t, "q", k).current(t, time.Minute),
		"ttl":           s.current(t, time.Minute+time.Second),
		"Issue's nonce": s.issue(t, time.Minute),
	} {
		// What is random has to differ, not the time alone.
		if random := nonce[15:39]; seen[random] {
			t.Errorf("%s changes nothing", name)
		} else {
			seen[random] = true
		}
	}
	s.now = noon.Add(30 * time.Second)
	if seen[s.current(t, time.Minute)[15:39]] {
		t.Error("the time changes nothing")
	}
}

func TestCurrentRefusesTTLsUnderTwoSeconds(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	for _, ttl := range []time.Duration{2*time.Second - 1, time.Second, 0, -time.Hour, math.MinInt64} {
		if nonce, err := s.Current(ttl); nonce != "" || err != ErrTTL {
			t.Errorf("ttl %v: %q, %v", ttl, nonce, err)
		}
	}
	s.want(t, s.current(t, 2*time.Second), 2*time.Second, nil)
	s.want(t, s.current(t, math.MaxInt64), math.MaxInt64, nil)
}
