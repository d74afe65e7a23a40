package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func withBearer(c *config) { c.bearer = true }

// bearerToken takes a token without a proof.
func bearerToken(t *testing.T, c *testClient) string {
	t.Helper()
	r := newRequest(t, c, "POST", c.tokenURL, "")
	response, body := send(t, r)
	answer := decode(t, body)
	token, _ := answer["access_token"].(string)
	if response.StatusCode != 200 || answer["token_type"] != "Bearer" || token == "" {
		t.Fatal(response.Status, body)
	}
	return token
}

func TestResourceTakesBearerBesideDPoP(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy, withBearer)
		unbound := bearerToken(t, c)
		if n := counts(t, s); n != [2]int64{} {
			t.Error(name, "a Bearer token costs nonces:", n)
		}
		c.authorize(t)
		if status, err := c.requestResource(t.Context(), c.nonce); err != nil || status != 200 {
			t.Error(name, status, err)
		}
		for what, request := range map[string]struct {
			scheme, token string
			proof         bool
			status        int
		}{
			"an unbound token":            {"Bearer ", unbound, false, 200},
			"its scheme in small letters": {"bearer ", unbound, false, 200},
			"a bound token as Bearer":     {"Bearer ", c.token, false, 401},
			"the same with its proof":     {"Bearer ", c.token, true, 401},
			"a proof beside Bearer":       {"Bearer ", unbound, true, 401},
			"an unbound token as DPoP":    {"DPoP ", unbound, true, 401},
			"a bound token, no proof":     {"DPoP ", c.token, false, 401},
		} {
			r := newRequest(t, c, "GET", c.resourceID, "")
			r.Header.Set("Authorization", request.scheme+request.token)
			if request.proof {
				if err := (&client{key: c.key, token: request.token}).prove(r, c.nonce); err != nil {
					t.Fatal(err)
				}
			}
			if response, body := send(t, r); response.StatusCode != request.status {
				t.Error(name, what, response.Status, body)
			}
		}
	}
}

func TestRefusalListsBothSchemes(t *testing.T) {
	c, _ := start(t, withBearer)
	c.authorize(t)
	const dpop, bearer = `DPoP algs="ES256 EdDSA PS256"`, "Bearer"
	const invalid = `error="invalid_token", error_description="the access token is bound to a key"`
	for authorization, want := range map[string][]string{
		"":                  {dpop, bearer},
		"Basic eA==":        {dpop, bearer},
		"Bearer " + c.token: {`DPoP ` + invalid + `, algs="ES256 EdDSA PS256"`, "Bearer " + invalid},
		"DPoP " + c.token:   {`DPoP error="invalid_dpop_proof", error_description="the DPoP proof is not valid", algs="ES256 EdDSA PS256"`, bearer},
	} {
		r := newRequest(t, c, "GET", c.resourceID, "")
		r.Header = http.Header{}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		response, body := send(t, r)
		if got := response.Header.Values("WWW-Authenticate"); response.StatusCode != 401 || !slices.Equal(got, want) {
			t.Errorf("%s: %s %q %s", authorization, response.Status, got, body)
		}
	}
}

// The Guard's refusals also name both.
func TestGuardsRefusalListsBothSchemes(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy, withBearer)
		unbound := bearerToken(t, c)
		c.authorize(t)
		accepted := c.nonce
		request := func(scheme, token, nonce string) *http.Request {
			r := newRequest(t, c, "GET", c.resourceID, "")
			r.Header.Set("Authorization", scheme+token)
			if err := (&client{key: c.key, token: token}).prove(r, nonce); err != nil {
				t.Fatal(err)
			}
			return r
		}
		replayed := request("DPoP ", c.token, accepted)
		beside := newRequest(t, c, "GET", c.resourceID, "")
		beside.Header.Set("Authorization", "Bearer "+unbound)
		beside.Header.Set("DPoP", "x")
		code := map[string]string{"single use": "use_dpop_nonce", "window": "invalid_dpop_proof"}[name]
		for _, test := range []struct {
			request *http.Request
			status  int
			code    string
			dpop    string
		}{
			{request("DPoP ", c.token, ""), 401, "use_dpop_nonce", `DPoP error="use_dpop_nonce", `},
			{request("DPoP ", c.token, "unknown"), 401, "use_dpop_nonce", `DPoP error="use_dpop_nonce", `},
			{replayed, 200, "", ""},
			{replayed, 401, code, `DPoP error="` + code + `", `},
			{beside, 401, "invalid_dpop_proof", `DPoP algs=`},
			{request("Bearer ", unbound, ""), 401, "invalid_dpop_proof", `DPoP algs=`},
		} {
			r := test.request.Clone(t.Context())
			r.Body, r.ContentLength = nil, 0
			response, body := send(t, r)
			got := response.Header.Values("WWW-Authenticate")
			if answer := decode(t, body); response.StatusCode != test.status || test.code != "" && answer["error"] != test.code {
				t.Errorf("%s: %s %s", name, response.Status, body)
			}
			if test.status == 200 && len(got) == 0 {
				continue
			}
			if len(got) != 2 || !strings.HasPrefix(got[0], test.dpop) || got[1] != "Bearer" {
				t.Errorf("%s: %s %q", name, response.Status, got)
			}
		}
		r := request("DPoP ", c.token, c.nonce)
		if err := s.db.Migrator().DropTable("dpop_nonces"); err != nil {
			t.Fatal(err)
		}
		response, body := send(t, r)
		checkRefusal(t, name+", store", response, body, 503)
	}
}

// A code that was pushed with a proof needs its key, also with -bearer.
func TestBoundCodeGivesNoBearerToken(t *testing.T) {
	c, _ := start(t, withBearer)
	r := newRequest(t, c, "POST", c.tokenURL, "")
	setForm(r, c.redemption(c.code(t)))
	if response, body := send(t, r); response.StatusCode != 400 || decode(t, body)["error"] != "invalid_grant" {
		t.Error(response.Status, body)
	}
	r = newRequest(t, c, "POST", c.issuer+"/par", "") // by dpop_jkt alone
	setForm(r, c.pushed("dpop_jkt", hashOf("a key")))
	_, body := send(t, r)
	name, _ := decode(t, body)["request_uri"].(string)
	_, redirect := c.visit(t, name)
	if status, answer := c.post(t, "/token", c.redemption(redirect.Get("code"))); status != 400 {
		t.Error(status, answer)
	}
}
