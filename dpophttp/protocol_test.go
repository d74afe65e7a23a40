package dpophttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

func TestResponseHasOneNonceHeader(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		old := f.challenge(t)
		current := f.replaceCurrent(t)
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["DPoP-Nonce"] = []string{"set-by-outer-layer"} // not the canonical spelling
			w.Header().Add("DPoP-Nonce", "set-by-outer-layer")
			f.handler.ServeHTTP(w, r)
		})
		for _, nonce := range []string{"", old, current} {
			w := httptest.NewRecorder()
			outer.ServeHTTP(w, request(nonce))
			var all []string
			for name, values := range w.Header() {
				if strings.EqualFold(name, "DPoP-Nonce") {
					all = append(all, values...)
				}
			}
			if len(all) != 1 || all[0] == "set-by-outer-layer" || current != "" && all[0] != current {
				t.Fatal(all)
			}
		}
	})
}

// replaceCurrent replaces the current nonce and returns the new one; "" under
// SingleUse, which has none.
func (f *fixture) replaceCurrent(t *testing.T) string {
	t.Helper()
	if f.guard.Policy != dpophttp.Window {
		return ""
	}
	dpophttp.Forget(f.guard)
	return f.challenge(t)
}

func TestNonceOfRejectionIsAccepted(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		for nonce := range f.rejections(t) {
			w := f.do(request(nonce))
			next := w.Header().Get("DPoP-Nonce")
			if next == "" || next == nonce || w.Code < 400 {
				t.Fatal(w.Code, w.Header())
			}
			if w := f.do(request(next)); w.Code != http.StatusOK {
				t.Fatal(w.Code, w.Body)
			}
		}
	})
}

func TestSingleUseSpendsNonceAndSendsNext(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		if f.guard.Policy != dpophttp.SingleUse {
			return
		}
		nonce := f.challenge(t)
		for i := 0; i < 3; i++ {
			w := f.do(request(nonce))
			next := w.Header().Get("DPoP-Nonce")
			if w.Code != http.StatusOK || next == "" || next == nonce {
				t.Fatal(w.Code, w.Header())
			}
			if w := f.do(request(nonce)); w.Code == http.StatusOK {
				t.Fatal("the nonce was accepted twice")
			}
			nonce = next
		}
	})
}

func TestWindowSendsCurrentNonceWhereItDiffers(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		if f.guard.Policy != dpophttp.Window {
			return
		}
		nonce := f.challenge(t)
		for i := 0; i < 2; i++ {
			w := f.do(request(nonce))
			if w.Code != http.StatusOK || w.Header().Values("DPoP-Nonce") != nil || w.Header().Get("Cache-Control") != "" {
				t.Fatal(w.Code, w.Header())
			}
		}
		current := f.replaceCurrent(t)
		w := f.do(request(nonce))
		if w.Code != http.StatusOK || w.Header().Get("DPoP-Nonce") != current || current == nonce {
			t.Fatal(w.Code, w.Header())
		}
	})
}

func TestResponseWithNonceIsNotCached(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		old := f.challenge(t)
		f.replaceCurrent(t)
		for _, nonce := range []string{"", "never-issued", old} {
			if w := f.do(request(nonce)); w.Header().Get("Cache-Control") != "no-store" {
				t.Fatal(w.Code, w.Header())
			}
		}
	})
}

func TestHeadersAreExposedToBrowsers(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		want := "X-Request-Id, DPoP-Nonce"
		if _, isResource := challengeOf(f); isResource {
			want += ", WWW-Authenticate"
		}
		old := f.challenge(t)
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Expose-Headers", "X-Request-Id")
			f.handler.ServeHTTP(w, r)
		})
		unverified := request("")
		unverified.Header.Set("Unverified", "yes")
		for _, r := range []*http.Request{request(""), request(old), unverified} {
			w := httptest.NewRecorder()
			outer.ServeHTTP(w, r)
			if got := w.Header().Values("Access-Control-Expose-Headers"); len(got) != 1 || got[0] != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// challengeOf returns a challenge, and whether a resource server wrote it.
func challengeOf(f *fixture) (w *httptest.ResponseRecorder, resource bool) {
	w = f.do(request(""))
	return w, w.Code == http.StatusUnauthorized
}

func TestReasonReachesOnRejectOnly(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		first, _ := challengeOf(f)
		for nonce, want := range f.rejections(t) {
			f.rejected = nil
			w := f.do(request(nonce))
			if w.Code != first.Code || w.Body.String() != first.Body.String() ||
				w.Header().Get("WWW-Authenticate") != first.Header().Get("WWW-Authenticate") {
				t.Fatalf("%v: %d %v %s", want, w.Code, w.Header(), w.Body)
			}
			if len(f.rejected) != 1 || !errors.Is(f.rejected[0], want) {
				t.Fatalf("OnReject got %v, want %v", f.rejected, want)
			}
		}
		if f.passed != 0 || f.failed != nil {
			t.Fatal(f.passed, f.failed)
		}
	})
}

func TestUnverifiedProofSpendsNothing(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		nonce := f.challenge(t)
		f.store.calls.Store(0)
		r := request(nonce)
		r.Header.Set("Unverified", "yes")
		w := f.do(r)
		if f.store.calls.Load() != 0 || f.passed != 0 || f.rejected != nil || w.Header().Get("DPoP-Nonce") != "" {
			t.Fatal(f.store.calls.Load(), f.passed, f.rejected, w.Header())
		}
		switch w.Code {
		case http.StatusBadRequest:
			wantOAuthError(t, w, "invalid_dpop_proof")
		case http.StatusUnauthorized:
			if got := w.Header().Get("WWW-Authenticate"); got != `DPoP algs="ES256 EdDSA"` {
				t.Fatal(got)
			}
		default:
			t.Fatal(w.Code)
		}
		if w := f.do(request(nonce)); w.Code != http.StatusOK {
			t.Fatal("an unverified proof spent the nonce")
		}
	})
}

func TestStoreFailureIsAnswered503(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		down := errors.New("the store is down")
		for _, nonce := range []string{"", "some-nonce"} {
			f.failed = nil
			f.store.down = down
			w := f.do(request(nonce))
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("DPoP-Nonce") != "" ||
				w.Header().Get("WWW-Authenticate") != "" || strings.Contains(w.Body.String(), "use_dpop_nonce") {
				t.Fatal(w.Code, w.Header(), w.Body)
			}
			if len(f.failed) != 1 || !errors.Is(f.failed[0], down) || f.rejected != nil || f.passed != 0 {
				t.Fatal(f.failed, f.rejected, f.passed)
			}
		}
		f.store.down = nil
		if w := f.do(request(f.challenge(t))); w.Code != http.StatusOK {
			t.Fatal("not accepted after the store recovered:", w.Code)
		}
	})
}

func TestSingleUseCallsStoreOnce(t *testing.T) {
	f := newFixture(t, singleUse, (*dpophttp.Guard).ResourceServer)
	for _, nonce := range []string{"", "never-issued", f.challenge(t)} {
		f.store.calls.Store(0)
		if f.do(request(nonce)); f.store.calls.Load() != 1 {
			t.Fatalf("%d calls", f.store.calls.Load())
		}
	}
}

func TestNonceExpiresAfterTTL(t *testing.T) {
	f := newFixture(t, singleUse, (*dpophttp.Guard).ResourceServer)
	for ttl, lives := range map[time.Duration]time.Duration{
		0: dpopnonce.DefaultTTL, 2 * time.Minute: 2 * time.Minute, 1500 * time.Millisecond: time.Second,
	} {
		f.guard.TTL = ttl
		nonce := f.challenge(t)
		f.store.clock = f.store.clock.Add(lives - time.Second)
		if err := f.store.Check(request("").Context(), nonce, time.Hour); err != nil {
			t.Fatal(ttl, err)
		}
		f.store.clock = f.store.clock.Add(time.Second)
		if f.do(request(nonce)).Code == http.StatusOK {
			t.Fatalf("ttl %v: accepted at expires_at", ttl)
		}
	}
}
