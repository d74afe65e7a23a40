package dpophttp_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
)

func TestFloodOfChallengesAddsOneRow(t *testing.T) {
	s := newStore(t)
	guard := &dpophttp.Guard{Nonces: s, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true}
	handlers := []http.Handler{guard.ResourceServer(http.NotFoundHandler()), guard.ResourceServer(http.NotFoundHandler())}
	var flood sync.WaitGroup
	for i := 0; i < 8; i++ {
		i := i
		flood.Add(1)
		go func() {
			defer flood.Done()
			for n := 0; n < 100_000/8; n++ {
				w := httptest.NewRecorder()
				handlers[(i+n)%2].ServeHTTP(w, request(""))
				if w.Code != http.StatusUnauthorized || w.Header().Get("DPoP-Nonce") == "" {
					t.Error(w.Code, w.Header())
					return
				}
			}
		}()
	}
	flood.Wait()
	if n := s.rows(t, "1 = 1"); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

func TestCurrentNonceIsReplacedAtHalfTTL(t *testing.T) {
	f := newFixture(t, window, (*dpophttp.Guard).ResourceServer)
	f.guard.TTL = 10 * time.Minute
	now := noon
	f.guard.Clock = func() time.Time { return now }
	first := f.challenge(t)
	now = now.Add(5*time.Minute - 1)
	if f.challenge(t) != first {
		t.Fatal("replaced before half the ttl")
	}
	now = now.Add(1)
	second := f.challenge(t)
	if second == first {
		t.Fatal("not replaced at half the ttl")
	}
	if w := f.do(request(first)); w.Code != http.StatusOK || w.Header().Get("DPoP-Nonce") != second {
		t.Fatal(w.Code, w.Header())
	}
}

func TestChallengeCarriesUnexpiredNonce(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 1999 * time.Millisecond, 2 * time.Second, 3 * time.Second} {
		f := newFixture(t, window, (*dpophttp.Guard).ResourceServer)
		f.guard.TTL = ttl
		for i := 0; i < 100; i++ {
			f.store.clock = f.store.clock.Add(70 * time.Millisecond)
			if w := f.do(request(f.challenge(t))); w.Code != http.StatusOK {
				t.Fatalf("ttl %v, at %v: %d", ttl, f.store.clock, w.Code)
			}
		}
	}
}

func TestRejectedCurrentNonceIsReplaced(t *testing.T) {
	f := newFixture(t, window, (*dpophttp.Guard).ResourceServer)
	nonce := f.challenge(t)
	if err := f.store.db.Exec("DELETE FROM dpop_nonces").Error; err != nil {
		t.Fatal(err)
	}
	w := f.do(request(nonce))
	next := w.Header().Get("DPoP-Nonce")
	if w.Code != http.StatusUnauthorized || next == nonce {
		t.Fatal(w.Code, next == nonce)
	}
	if w := f.do(request(next)); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
}

func TestNodesAcceptEachOthersNonces(t *testing.T) {
	s := newStore(t)
	var nodes [2]http.Handler
	for i := range nodes {
		guard := &dpophttp.Guard{Nonces: s.Repository, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true}
		nodes[i] = guard.ResourceServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	for i := range nodes {
		w := httptest.NewRecorder()
		nodes[i].ServeHTTP(w, request(""))
		for _, node := range nodes {
			accepted := httptest.NewRecorder()
			node.ServeHTTP(accepted, request(w.Header().Get("DPoP-Nonce")))
			if accepted.Code != http.StatusOK {
				t.Fatal(accepted.Code)
			}
		}
	}
	if n := s.rows(t, "1 = 1"); n != 2 {
		t.Fatalf("%d rows", n)
	}
}
