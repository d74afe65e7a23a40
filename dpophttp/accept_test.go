package dpophttp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// onEachKind runs a test for a Guard that is not mounted and has no Proof.
func onEachKind(t *testing.T, test func(t *testing.T, f *fixture)) {
	for _, kind := range []kind{singleUse, window, windowOnce} {
		kind := kind
		t.Run(kind.String(), func(t *testing.T) {
			f := newFixture(t, kind, func(*dpophttp.Guard, http.Handler) http.Handler { return nil })
			f.guard.Proof = nil
			test(t, f)
		})
	}
}

// accept judges a proof, and reports what the contract of Accept excludes.
func (f *fixture) accept(t *testing.T, nonce, id string) (next string, err error) {
	t.Helper()
	next, err = f.guard.Accept(context.Background(), dpophttp.Proof{Nonce: nonce, ID: id})
	judged := err == nil || errors.Is(err, dpopnonce.ErrRejected) || errors.Is(err, dpopnonce.ErrReplayed)
	if judged != (next != "") || f.rejected != nil || f.failed != nil {
		t.Fatal(next, err, f.rejected, f.failed)
	}
	return next, err
}

func TestAcceptReturnsVerdictAndNextNonce(t *testing.T) {
	onEachKind(t, func(t *testing.T, f *fixture) {
		first, err := f.accept(t, "", "1")
		if !errors.Is(err, dpopnonce.ErrMissing) {
			t.Fatal(err)
		}
		next, err := f.accept(t, first, "2")
		if err != nil || (next == first) != (f.guard.Policy == dpophttp.Window) {
			t.Fatal(next == first, err)
		}
		again, err := f.accept(t, first, "2")
		switch {
		case f.guard.Proofs != nil:
			if !errors.Is(err, dpopnonce.ErrReplayed) || errors.Is(err, dpopnonce.ErrRejected) || again != first {
				t.Fatal(again, err)
			}
		case f.guard.Policy == dpophttp.Window:
			if err != nil {
				t.Fatal(err)
			}
		default:
			if !errors.Is(err, dpopnonce.ErrUsed) || again == first {
				t.Fatal(err)
			}
		}
		for nonce, want := range f.rejections(t) {
			next, err := f.accept(t, nonce, "3")
			if !errors.Is(err, want) || next == nonce {
				t.Fatal(err, want)
			}
		}
		f.store.down = errors.New("the store is down")
		if _, err := f.accept(t, first, "4"); !errors.Is(err, f.store.down) {
			t.Fatal(err)
		}
	})
}

func TestNonceToOfferIsAccepted(t *testing.T) {
	onEachKind(t, func(t *testing.T, f *fixture) {
		var offered []string
		for i := 0; i < 2; i++ {
			nonce, err := f.guard.Nonce(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			offered = append(offered, nonce)
		}
		if (offered[0] == offered[1]) != (f.guard.Policy == dpophttp.Window) {
			t.Fatal(offered)
		}
		for i, id := range []string{"1", "2"} {
			if _, err := f.accept(t, offered[i], id); err != nil {
				t.Fatal(err)
			}
		}
		dpophttp.Forget(f.guard)
		f.store.down = errors.New("the store is down")
		if nonce, err := f.guard.Nonce(context.Background()); !errors.Is(err, f.store.down) || nonce != "" {
			t.Fatal(nonce, err)
		}
	})
}

func TestUnfitGuardFailsWithoutPanic(t *testing.T) {
	s := newStore(t)
	for why, guard := range map[string]*dpophttp.Guard{
		"without Nonces":   {},
		"needs Proofs":     {Nonces: s, Policy: dpophttp.Window},
		"under SingleUse":  {Nonces: s, Proofs: s},
		"negative Timeout": {Nonces: s, Timeout: -time.Second},
	} {
		next, err := guard.Accept(context.Background(), dpophttp.Proof{Nonce: "some-nonce", ID: "1"})
		if next != "" || err == nil || !strings.Contains(err.Error(), why) || errors.Is(err, dpopnonce.ErrRejected) {
			t.Fatal(next, err)
		}
		if nonce, err := guard.Nonce(context.Background()); nonce != "" || err == nil || !strings.Contains(err.Error(), why) {
			t.Fatal(nonce, err)
		}
	}
	if s.calls.Load() != 0 {
		t.Fatalf("%d calls of the store", s.calls.Load())
	}
}

func TestSetNonceKeepsHeadersOfOthers(t *testing.T) {
	h := http.Header{
		"DPoP-Nonce":                    {"a", "b"}, // not the canonical spelling
		"Dpop-Nonce":                    {"c"},
		"Cache-Control":                 {"public, max-age=60"},
		"Access-Control-Expose-Headers": {"X-Total, X-Page", "dpop-nonce"},
	}
	dpophttp.SetNonce(h, "next")
	if got := h.Values("DPoP-Nonce"); len(got) != 1 || got[0] != "next" || len(h) != 3 {
		t.Fatal(h)
	}
	if h.Get("Cache-Control") != "no-store" || len(h.Values("Access-Control-Expose-Headers")) != 2 {
		t.Fatal(h)
	}
	h = http.Header{"Access-Control-Expose-Headers": {"X-Total", "X-Page"}}
	dpophttp.SetNonce(h, "next")
	if got := h.Values("Access-Control-Expose-Headers"); len(got) != 1 || got[0] != "X-Total, X-Page, DPoP-Nonce" {
		t.Fatal(got)
	}
	h = http.Header{"Cache-Control": {"public"}}
	if dpophttp.SetNonce(h, ""); len(h) != 1 || h.Get("Cache-Control") != "public" {
		t.Fatal(h)
	}
}
