package dpophttp_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// A sealer is a Sealer whose clock and failures the test sets.
type sealer struct {
	*dpopnonce.Sealer
	clock time.Time
	down  error
}

func newSealer(t *testing.T) *sealer {
	t.Helper()
	s := &sealer{clock: noon}
	var err error
	s.Sealer, err = dpopnonce.NewSealer(dpopnonce.SealerConfig{
		Purpose: "https://rs.example",
		Keys:    []dpopnonce.Key{dpopnonce.NewKey()},
		Clock:   func() time.Time { return s.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sealer) Current(ttl time.Duration) (string, error) {
	if s.down != nil {
		return "", s.down
	}
	return s.Sealer.Current(ttl)
}

// shared returns two nodes with one Sealer and no store but that of the proofs.
func shared(t *testing.T, once dpophttp.Proofs) (*sealer, [2]*fixture) {
	t.Helper()
	s := newSealer(t)
	var nodes [2]*fixture
	for i := range nodes {
		f := &fixture{guard: &dpophttp.Guard{Nonces: s, Proof: proof, Policy: dpophttp.Window, Proofs: once,
			ProofsElsewhere: true, TTL: time.Minute, Clock: func() time.Time { return s.clock }}}
		f.guard.OnError = func(_ *http.Request, err error) { f.failed = append(f.failed, err) }
		f.handler = f.guard.ResourceServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { f.passed++ }))
		nodes[i] = f
	}
	return s, nodes
}

// The client would send the nonce of the challenge again, and again.
func TestClocksApartAreAnswered503(t *testing.T) {
	_, nodes := shared(t, newStore(t))
	f := nodes[0]
	f.guard.Clock = func() time.Time { return noon.Add(-2*dpopnonce.Tolerance - time.Minute) }
	w := f.do(request(f.challenge(t)))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("DPoP-Nonce") != "" || f.passed != 0 {
		t.Fatal(w.Code, w.Header(), f.passed)
	}
	if len(f.failed) != 1 || errors.Is(f.failed[0], dpopnonce.ErrRejected) {
		t.Fatal(f.failed)
	}
}

func TestNodesShareCurrentNonceOfStore(t *testing.T) {
	s, nodes := shared(t, nil)
	first := nodes[0].challenge(t)
	if nodes[1].challenge(t) != first {
		t.Fatal("the nodes have different nonces")
	}
	for _, node := range nodes {
		if w := node.do(request(first)); w.Code != http.StatusOK || w.Header().Values("DPoP-Nonce") != nil {
			t.Fatal(w.Code, w.Header())
		}
	}
	s.clock = s.clock.Add(30 * time.Second)
	for _, node := range nodes {
		w := node.do(request(first))
		if next := w.Header().Get("DPoP-Nonce"); w.Code != http.StatusOK || next == "" || next == first {
			t.Fatal(w.Code, w.Header())
		}
	}
	s.clock = s.clock.Add(30 * time.Second)
	w := nodes[0].do(request(first))
	next := w.Header().Get("DPoP-Nonce")
	if w.Code != http.StatusUnauthorized || next == "" || next == first {
		t.Fatal(w.Code, w.Header())
	}
	if w := nodes[1].do(request(next)); w.Code != http.StatusOK {
		t.Fatal("the nonce of the challenge was not accepted:", w.Code)
	}
}

func TestFailingCurrentSpendsNothing(t *testing.T) {
	once := newStore(t)
	s, nodes := shared(t, once)
	nonce := nodes[0].challenge(t)
	s.down = errors.New("no key")
	if w := nodes[0].do(request(nonce)); w.Code != http.StatusServiceUnavailable || once.calls.Load() != 0 || nodes[0].passed != 0 {
		t.Fatal(w.Code, once.calls.Load())
	}
	if got := nodes[0].failed; len(got) != 1 || !errors.Is(got[0], s.down) {
		t.Fatal(got)
	}
}

func TestNodesAcceptProofOnceWithoutOtherRows(t *testing.T) {
	once := newStore(t)
	_, nodes := shared(t, once)
	nonce := nodes[0].challenge(t)
	if n := once.rows(t, "1 = 1"); n != 0 {
		t.Fatalf("%d rows after a challenge", n)
	}
	r := request(nonce)
	if w := nodes[0].do(r); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	if w := nodes[1].do(r); w.Code != http.StatusUnauthorized || nodes[1].passed != 0 {
		t.Fatal(w.Code)
	}
	if n := once.rows(t, "1 = 1"); n != 1 {
		t.Fatalf("%d rows", n)
	}
}
