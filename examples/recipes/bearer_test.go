package recipes

import (
	"net/http"
	"strings"
	"testing"
)

func TestBearerTokenPassesUnlessBoundToKey(t *testing.T) {
	const both = `DPoP algs="ES256 EdDSA", Bearer`
	s := newSite(t, Window)
	d := doors["bearer"](t, s)
	for _, test := range []struct {
		name, authorization string
		proofs              []string
		status              int
		challenges          string
	}{
		{"unbound", "Bearer " + bearerToken, nil, 200, ""},
		{"bound", "Bearer " + token, nil, 401, both + ` error="invalid_token"`},
		{"bound, with a proof", "Bearer " + token, []string{s.prove(t, d, s.key, "")}, 401, both + ` error="invalid_token"`},
		{"unbound, with an empty proof", "Bearer " + bearerToken, []string{""}, 401, both},
		{"unbound, with a proof", "Bearer " + bearerToken, []string{s.prove(t, d, s.key, "")}, 401, both},
		{"unknown", "Bearer guess", nil, 401, both + ` error="invalid_token"`},
		{"none", "", nil, 401, both},
		{"another scheme", "Basic " + bearerToken, nil, 401, both + ` error="invalid_token"`},
		{"unbound, as DPoP", "DPoP " + bearerToken, nil, 401, both},
		{"unknown, as DPoP", "DPoP guess", nil, 401, `DPoP error="invalid_token", Bearer`},
	} {
		got, header := send(t, http.MethodGet, s.app.Origin+d.path, test.authorization, test.proofs...)
		checkHeaders(t, got, header)
		challenges := strings.Join(header.Values("WWW-Authenticate"), ", ")
		if got.status != test.status || challenges != test.challenges || got.nonce != "" {
			t.Errorf("%s: %+v %s", test.name, got, challenges)
		}
		if test.status == 200 && !strings.HasSuffix(got.text, "bob") {
			t.Errorf("%s: %s", test.name, got.text)
		}
	}
}

// DPoP comes first: the AT Protocol client reads no challenge behind another.
func TestChallengeBesideBearerListsBothSchemes(t *testing.T) {
	s := newSite(t, Window)
	d := doors["bearer"](t, s)
	nonce := d.call(t, s.prove(t, d, s.key, "")).nonce
	accepted := s.prove(t, d, s.key, nonce)
	for _, test := range []struct {
		proof, code string
		schemes     int
	}{
		{s.prove(t, d, s.key, ""), "use_dpop_nonce", 2},
		{s.prove(t, d, s.key, "unknown"), "use_dpop_nonce", 2},
		{accepted, "", 0},
		{accepted, "invalid_dpop_proof", 2},
	} {
		got, header := send(t, "GET", s.app.Origin+d.path, "DPoP "+token, test.proof)
		schemes := header.Values("WWW-Authenticate")
		if got.code != test.code || len(schemes) != test.schemes {
			t.Fatalf("%+v %q", got, schemes)
		}
		if test.schemes == 2 && (!strings.HasPrefix(schemes[0], `DPoP error="`+test.code) || schemes[1] != "Bearer") {
			t.Errorf("%q", schemes)
		}
	}
	if err := s.db.Migrator().DropTable("dpop_proofs"); err != nil {
		t.Fatal(err)
	}
	got, header := send(t, "GET", s.app.Origin+d.path, "DPoP "+token, s.prove(t, d, s.key, nonce))
	if schemes := header.Values("WWW-Authenticate"); got.status != 503 || len(schemes) != 0 {
		t.Errorf("%+v %q", got, schemes)
	}
}

// A handler's writer has what net/http's has, with either scheme.
func TestHandlerBesideBearerCanFlush(t *testing.T) {
	s := newSite(t, Window)
	s.serve(t, func() http.Handler { return BearerBesideDPoP(s.app, s.guard, http.HandlerFunc(flush)) })
	d := httpDoor(s)
	nonce := d.call(t, s.prove(t, d, s.key, "")).nonce
	for authorization, proofs := range map[string][]string{"Bearer " + bearerToken: nil, "DPoP " + token: {s.prove(t, d, s.key, nonce)}} {
		if got, _ := send(t, "GET", s.app.Origin+d.path, authorization, proofs...); got.status != 200 {
			t.Errorf("%s: %+v", authorization, got)
		}
	}
}
