package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce"
)

func TestStoryHoldsUnderBothPolicies(t *testing.T) {
	for name, policy := range policies {
		c, _ := start(t, policy)
		if err := c.story(t.Context()); err != nil {
			t.Error(name, err)
		}
		if strings.Contains(c.log.String(), "level=WARN") {
			t.Error(name, c.log)
		}
	}
}

// The story replays a proof, which passes then.
func TestServerWithoutProofsWarns(t *testing.T) {
	c, _ := start(t, window, func(c *config) { c.proofs = false })
	if err := c.story(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(c.log.String(), "level=WARN msg=\"proofs are not remembered") {
		t.Error(c.log)
	}
}

func TestNodesShareNoncesAndTokens(t *testing.T) {
	dsn := schemaDSN(t)
	for name, policy := range policies {
		c, _ := start(t, policy, on(dsn))
		if err := c.story(t.Context()); err != nil {
			t.Error(name, err)
		}
		other, _ := start(t, policy, on(dsn))
		c.tokenURL = other.tokenURL
		if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
			t.Error(name, status, err)
		}
	}
}

func TestTokenOfAnotherKeyIsRefused(t *testing.T) {
	c, s := start(t)
	c.authorize(t)
	before := counts(t, s)
	c.key = newKey(t)
	if status, err := c.requestResource(t.Context(), c.nonce); err != nil || status != 401 || counts(t, s) != before {
		t.Fatal(status, err)
	}
}

func TestInvalidRequestSpendsNothing(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy)
		c.authorize(t)
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
			if err := c.prove(r, c.nonce); err != nil {
				t.Fatal(err)
			}
			change(r)
			if response, body := send(t, r); response.StatusCode < 400 || response.StatusCode > 401 || !strings.Contains(body, want) {
				t.Errorf("%s: %s %s", want, response.Status, body)
			}
		}
		if after := counts(t, s); after != before {
			t.Fatalf("%s: counts of nonces %v, before %v", name, after, before)
		}
		if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
			t.Fatal(name, status, err)
		}
	}
}

func TestStoreFailureIsAnswered503(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy)
		c.authorize(t)
		if err := s.db.Migrator().DropTable("dpop_nonces"); err != nil {
			t.Fatal(err)
		}
		r := newRequest(t, c, "POST", c.tokenURL, "")
		if err := c.prove(r, c.nonce); err != nil {
			t.Fatal(err)
		}
		if response, body := send(t, r); response.StatusCode != 503 || response.Header.Get("DPoP-Nonce") != "" {
			t.Fatal(name, response.Status, body)
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
		"used": dpopnonce.ErrUsed, "replayed": dpopnonce.ErrReplayed, "not valid": dpopnonce.ErrRejected,
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
