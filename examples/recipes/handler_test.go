package recipes

import (
	"net/http"
	"strings"
	"testing"
)

// tokenSite serves a token endpoint for one client.
func tokenSite(t *testing.T) (s *site, post func(secret string, proofs ...string) answer, prove func(nonce string) string) {
	s = newSite(t, SingleUse)
	s.serve(t, func() http.Handler {
		return TokenEndpoint(s.app.Origin, s.guard,
			func(r *http.Request) bool { return r.Header.Get("Authorization") == "Basic secret" },
			func(thumbprint string) string { return "for-" + thumbprint })
	})
	post = func(secret string, proofs ...string) answer {
		t.Helper()
		got, header := send(t, "POST", s.app.Origin+"/token", "Basic "+secret, proofs...)
		if got.nonce != "" && header.Get("Cache-Control") != "no-store" {
			t.Error(header)
		}
		return got
	}
	return s, post, func(nonce string) string {
		return proveFor(t, s.key, "POST", s.app.Origin+"/token", "", nonce, 0)
	}
}

func TestTokenEndpointAcceptsEachNonceOnce(t *testing.T) {
	s, post, prove := tokenSite(t)
	challenge := post("secret", prove(""))
	if challenge.status != 400 || challenge.code != "use_dpop_nonce" || s.rows(t, "as_dpop_nonces") != 0 {
		t.Fatalf("%+v", challenge)
	}
	accepted := post("secret", prove(challenge.nonce))
	if accepted.status != 200 || !strings.Contains(accepted.text, `"token_type":"DPoP"`) {
		t.Fatalf("%+v", accepted)
	}
	if got := post("secret", prove(challenge.nonce)); got.status != 400 || got.code != "use_dpop_nonce" {
		t.Fatalf("used: %+v", got)
	}
	if got := post("secret", prove(accepted.nonce)); got.status != 200 {
		t.Fatalf("next: %+v", got)
	}
}

func TestUnknownClientGetsNonceAndSpendsNone(t *testing.T) {
	s, post, prove := tokenSite(t)
	offered := post("guess", prove(""))
	if offered.status != 401 || offered.code != "invalid_client" || offered.nonce == "" {
		t.Fatalf("%+v", offered)
	}
	if got := post("guess", prove(offered.nonce)); got.code != "invalid_client" || s.rows(t, "as_dpop_nonces") != 0 {
		t.Fatalf("%+v", got)
	}
	if got := post("secret", prove(offered.nonce)); got.status != 200 {
		t.Fatalf("%+v", got)
	}
}

func TestTokenEndpointRefusesInvalidProof(t *testing.T) {
	s, post, _ := tokenSite(t)
	elsewhere := proveFor(t, s.key, "POST", "https://elsewhere.example/token", "", "", 0)
	for _, proofs := range [][]string{nil, {elsewhere}} {
		if got := post("secret", proofs...); got.status != 400 || got.code != "invalid_dpop_proof" || got.nonce != "" {
			t.Errorf("%+v", got)
		}
	}
}

func TestTokenEndpointAnswersStoreFailure503(t *testing.T) {
	s, post, prove := tokenSite(t)
	nonce := post("secret", prove("")).nonce
	if err := s.db.Migrator().DropTable("as_dpop_nonces"); err != nil {
		t.Fatal(err)
	}
	if got := post("secret", prove(nonce)); got.status != 503 || got.nonce != "" {
		t.Fatalf("%+v", got)
	}
}
