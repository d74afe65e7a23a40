package dpophttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/attesto/dpopnonce/dpophttp"
)

func TestOptionalPassesRequestsWithoutDPoP(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		f.guard.Optional = true
		for name, authorization := range map[string][]string{
			"no token": nil,
			"Bearer":   {"Bearer DPoP"},
			"Basic":    {"Basic ZHBvcDpkcG9w", "Bearer x"},
			"empty":    {""},
		} {
			r := request("")
			r.Header["Authorization"] = authorization
			r.Header.Set("Unverified", "yes")
			f.passed = 0
			w := f.do(r)
			if w.Code != http.StatusOK || f.passed != 1 || len(w.Header()) != 1 || w.Header().Get("Content-Type") == "" {
				t.Fatal(name, w.Code, w.Header())
			}
		}
		if f.store.calls.Load() != 0 {
			t.Fatalf("%d calls of the store", f.store.calls.Load())
		}
	})
}

func TestOptionalPassesWriterUntouched(t *testing.T) {
	var got http.ResponseWriter
	guard := &dpophttp.Guard{Nonces: newStore(t), Proof: verify, Optional: true}
	handler := guard.ResourceServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w }))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if got != http.ResponseWriter(w) {
		t.Fatalf("%T", got)
	}
}

func TestOptionalRefusesAnySignOfDPoP(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		f.guard.Optional = true
		for name, header := range map[string]http.Header{
			"a proof":           {"Dpop": {"not valid"}},
			"an empty proof":    {"Dpop": {""}},
			"in another case":   {"dPOP": {"not valid"}},
			"two proofs":        {"Dpop": {"a", "b"}},
			"a token":           {"Authorization": {"DPoP x"}},
			"a lower-case one":  {"Authorization": {"dpop x"}},
			"the scheme alone":  {"Authorization": {"DPOP"}},
			"behind a tab":      {"Authorization": {"DPoP\tx"}},
			"in a second line":  {"Authorization": {"Bearer x", " DpoP  y"}},
			"beside other case": {"authorization": {"DPoP x"}},
		} {
			r := request("")
			for key, lines := range header {
				r.Header[key] = lines
			}
			r.Header.Set("Unverified", "yes")
			wantOAuthError(t, f.do(r), "invalid_dpop_proof")
			if f.passed != 0 {
				t.Fatal(name)
			}
		}
	})
}

func TestOptionalJudgesVerifiedProofs(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		f.guard.Optional = true
		wantOAuthError(t, f.do(request("")), "use_dpop_nonce") // without a DPoP header
		if w := f.do(request(f.challenge(t))); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	})
}
