package dpopnonce

import (
	"context"
	"math/rand"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A nonce that is sealed by a key that was replaced before could outlive that key.
// The keys change here while a nonce is made: the latest key has to seal it.
func TestNoncesAreSealedByTheLatestKey(t *testing.T) {
	for name, issue := range map[string]func(*Sealer) (string, error){
		"Issue":   func(s *Sealer) (string, error) { return s.Issue(context.Background(), time.Minute) },
		"Current": func(s *Sealer) (string, error) { return s.Current(time.Minute) },
	} {
		first, next := NewKey(), NewKey()
		var s *Sealer
		s, err := NewSealer(SealerConfig{Purpose: "p", Keys: []Key{first}, Clock: func() time.Time {
			if err := s.SetKeys(next); err != nil {
				t.Error(err)
			}
			return noon
		}})
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := issue(s)
		if err == nil {
			err = s.Check(context.Background(), nonce, time.Minute)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRotationOfKeysRejectsNothing rotates the keys of a fleet as SetKeys says,
// while callers take nonces from one node and present them at another.
func TestRotationOfKeysRejectsNothing(t *testing.T) {
	const ttl = time.Minute
	var seconds atomic.Int64 // since noon, on all nodes
	clock := func() time.Time { return noon.Add(time.Duration(seconds.Load()) * time.Second) }
	key := NewKey()
	fleet := make([]*Sealer, 3)
	for i := range fleet {
		var err error
		if fleet[i], err = NewSealer(SealerConfig{Purpose: "p", Keys: []Key{key}, Clock: clock}); err != nil {
			t.Fatal(err)
		}
	}

	var checks, stop atomic.Int64
	var callers sync.WaitGroup
	for caller := 0; caller < 8; caller++ {
		random := rand.New(rand.NewSource(int64(caller)))
		node := func() *Sealer { return fleet[random.Intn(len(fleet))] }
		callers.Add(1)
		go func() {
			defer callers.Done()
			type given struct {
				nonce  string
				before time.Time // the clock before it was issued
			}
			var held [64]given // from all steps so far
			for stop.Load() == 0 {
				g := given{before: clock()}
				var err error
				if g.nonce, err = node().Issue(context.Background(), ttl); err == nil && random.Intn(2) == 0 {
					g.nonce, err = node().Current(2 * ttl)
				}
				held[random.Intn(len(held))] = g
				g = held[random.Intn(len(held))]
				if err == nil && g.nonce != "" {
					err = node().Check(context.Background(), g.nonce, 2*ttl)
				}
				if err != nil && clock().Before(g.before.Add(ttl)) {
					t.Errorf("step of the clock %v: %v", clock().Sub(noon), err)
					return
				}
				checks.Add(1)
			}
		}()
	}

	// set is one step: on one node after the other, while callers go on.
	set := func(keys ...Key) {
		for _, s := range fleet {
			if err := s.SetKeys(keys...); err != nil {
				t.Error(err)
			}
			for enough := checks.Load() + 50; checks.Load() < enough && !t.Failed(); {
				runtime.Gosched()
			}
		}
	}
	for round := 0; round < 3; round++ {
		next := NewKey()
		set(key, next)
		set(next, key)
		seconds.Add(int64(2 * ttl / time.Second)) // the longest ttl: Current's
		set(next)
		key = next
	}
	stop.Store(1)
	callers.Wait()
}
