package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

func TestStoryHoldsUnderBothPolicies(t *testing.T) {
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		c, _ := start(t, policy)
		if err := c.story(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestNodesShareNoncesAndTokens(t *testing.T) {
	dsn := schemaDSN(t)
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		c, _ := startOn(t, policy, dsn)
		if err := c.story(t.Context()); err != nil {
			t.Error(err)
		}
		other, _ := startOn(t, policy, dsn)
		c.tokenURL = other.tokenURL
		if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
			t.Error(status, err)
		}
	}
}

func TestReplayedProofIsRefused(t *testing.T) {
	c, _ := start(t, dpophttp.Window)
	if status, err := c.requestToken(t.Context()); err != nil || status != 400 {
		t.Fatal(status, err)
	}
	r := newRequest(t, c, "POST", c.tokenURL, "")
	proof, err := newProof(c.key, r, "", c.asNonce)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 400} {
		r := newRequest(t, c, "POST", c.tokenURL, "")
		r.Header.Set("DPoP", proof)
		if response, body := send(t, r); response.StatusCode != want {
			t.Fatal(response.Status, body)
		}
	}
}

func TestTokenOfAnotherKeyIsRefused(t *testing.T) {
	c, _ := start(t, dpophttp.SingleUse)
	for range 2 {
		if _, err := c.requestToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.key = newKey(t)
	if status, err := c.requestResource(t.Context(), ""); err != nil || status != 401 || c.rsNonce != "" {
		t.Fatal(status, err, c.rsNonce)
	}
}

func TestInvalidRequestSpendsNothing(t *testing.T) {
	c, s := start(t, dpophttp.SingleUse)
	if _, err := c.requestToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := counts(t, s)
	for want, change := range map[string]func(*http.Request){
		"invalid_client": func(r *http.Request) { r.SetBasicAuth(c.clientID, "guess") },
		"unsupported_grant_type": func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("grant_type=password"))
			r.ContentLength = -1
		},
		"invalid_request": func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded; =") },
	} {
		r := newRequest(t, c, "POST", c.tokenURL, "")
		proof, err := newProof(c.key, r, "", c.asNonce)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("DPoP", proof)
		change(r)
		if response, body := send(t, r); response.StatusCode < 400 || response.StatusCode > 401 || !strings.Contains(body, want) {
			t.Errorf("%s: %s %s", want, response.Status, body)
		}
	}
	if after := counts(t, s); after != before {
		t.Fatalf("counts of nonces %v, before %v", after, before)
	}
	if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
		t.Fatal(status, err)
	}
}

func TestStoreFailureIsAnswered503(t *testing.T) {
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		for _, table := range []string{"as_dpop_nonces", "seen_proofs"} {
			c, s := start(t, policy)
			if err := s.db.Migrator().DropTable(table); err != nil {
				t.Fatal(err)
			}
			r := newRequest(t, c, "POST", c.tokenURL, "")
			proof, err := newProof(c.key, r, "", "some-nonce")
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("DPoP", proof)
			if response, body := send(t, r); response.StatusCode != 503 || response.Header.Get("DPoP-Nonce") != "" {
				t.Fatal(table, response.Status, body)
			}
		}
	}
}

func TestHTUIsComparedAfterNormalization(t *testing.T) {
	for htu, want := range map[string]bool{
		"https://as.example/token":       true,
		"HTTPS://AS.EXAMPLE:443/token":   true,
		"https://as.example/token?a=b#c": true,
		"https://as.example/token/":      false,
		"http://as.example/token":        false,
		"https://as.example:8443/token":  false,
		"https://as.example.evil/token":  false,
		"https://user@as.example/token":  false,
		"":                               false,
		"https://as.example/%74oken":     false,
	} {
		if got := sameTarget(htu, "https://as.example/token"); got != want {
			t.Errorf("%s: %v", htu, got)
		}
	}
}

func TestReasonsHaveNamesInLog(t *testing.T) {
	for want, err := range map[string]error{
		"missing": dpopnonce.ErrMissing, "unknown": dpopnonce.ErrUnknown, "expired": dpopnonce.ErrExpired,
		"used": dpopnonce.ErrUsed, "not valid": dpopnonce.ErrRejected,
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestPreflightIsAnsweredBeforeGuard(t *testing.T) {
	c, s := start(t, dpophttp.SingleUse)
	before := counts(t, s)
	r := httptest.NewRequest("OPTIONS", c.tokenURL, nil)
	r.RequestURI = ""
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,dpop")
	response, _ := send(t, r)
	if response.StatusCode != 204 || response.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || counts(t, s) != before {
		t.Fatal(response.Status, response.Header)
	}
}
