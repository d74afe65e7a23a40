package dpophttp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce/dpophttp"
)

func TestAuthorizationServerChallengesWithTokenError(t *testing.T) {
	f := newFixture(t, singleUse, (*dpophttp.Guard).AuthorizationServer)
	w := f.do(request(""))
	if w.Code != http.StatusBadRequest {
		t.Fatal(w.Code)
	}
	wantOAuthError(t, w, "use_dpop_nonce")
	if got := w.Header().Get("WWW-Authenticate"); got != "" {
		t.Fatal(got)
	}
}

func TestResourceServerChallengesWithAuthenticateHeader(t *testing.T) {
	const want = `DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"`
	f := newFixture(t, singleUse, (*dpophttp.Guard).ResourceServer)
	w := f.do(request(""))
	if got := w.Header().Get("WWW-Authenticate"); w.Code != http.StatusUnauthorized || got != want+`, algs="ES256 EdDSA"` {
		t.Fatal(w.Code, got)
	}
	f.guard.Algs = ""
	if got := f.do(request("")).Header().Get("WWW-Authenticate"); got != want {
		t.Fatal(got)
	}
	r := request("")
	r.Header.Set("Unverified", "yes")
	if got := f.do(r).Header().Get("WWW-Authenticate"); got != "DPoP" {
		t.Fatal(got)
	}
}

func TestResourceServerRefusesWithJSONBody(t *testing.T) {
	f := newFixture(t, singleUse, (*dpophttp.Guard).ResourceServer)
	wantOAuthError(t, f.do(request("")), "use_dpop_nonce")
	r := request("")
	r.Header.Set("Unverified", "yes")
	wantOAuthError(t, f.do(r), "invalid_dpop_proof")
}

// A client that looks at the first challenge only has to find that of the Guard.
func TestChallengesOfOuterLayersStayBehind(t *testing.T) {
	f := newFixture(t, singleUse, (*dpophttp.Guard).ResourceServer)
	for _, unverified := range []string{"", "yes"} {
		r := request("")
		r.Header.Set("Unverified", unverified)
		w := httptest.NewRecorder()
		w.Header().Add("WWW-Authenticate", `Bearer realm="api"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="api"`)
		f.handler.ServeHTTP(w, r)
		got := w.Header().Values("WWW-Authenticate")
		if len(got) != 3 || !strings.HasPrefix(got[0], "DPoP ") || got[1] != `Bearer realm="api"` || got[2] != `Basic realm="api"` {
			t.Fatalf("%q", got)
		}
	}
}

// An outer layer may offer a nonce with every response.
func TestNonceOfOuterLayerStays(t *testing.T) {
	f := newFixture(t, windowOnce, (*dpophttp.Guard).ResourceServer)
	for _, r := range []*http.Request{request("unverified"), request(f.challenge(t))} {
		f.store.down = errors.New("the store is down")
		if r.Header.Get("Claim") == "unverified" {
			r.Header.Set("Unverified", "yes")
		}
		w := httptest.NewRecorder()
		dpophttp.SetNonce(w.Header(), "outer")
		f.handler.ServeHTTP(w, r)
		if got := w.Header().Values("DPoP-Nonce"); w.Code < 400 || len(got) != 1 || got[0] != "outer" {
			t.Fatal(w.Code, got)
		}
	}
}

func wantOAuthError(t *testing.T, w *httptest.ResponseRecorder, code string) {
	t.Helper()
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != code || body.Description == "" ||
		w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatal(err, w.Header(), w.Body)
	}
}
