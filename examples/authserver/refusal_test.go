package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestEveryRefusalIsJSONAndNotStored(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy)
		c.authorize(t)
		for what, refused := range map[string]struct {
			method, path string
			status       int
			change       func(*http.Request)
		}{
			"no nonce at /token":     {"POST", "/token", 400, nil},
			"no nonce at /resource":  {"GET", "/resource", 401, nil},
			"no proof at /token":     {"POST", "/token", 400, func(r *http.Request) { r.Header.Del("DPoP") }},
			"no proof at /resource":  {"GET", "/resource", 401, func(r *http.Request) { r.Header.Del("DPoP") }},
			"no token":               {"GET", "/resource", 401, func(r *http.Request) { r.Header.Del("Authorization") }},
			"a wrong token":          {"GET", "/resource", 401, func(r *http.Request) { r.Header.Set("Authorization", "DPoP x") }},
			"Bearer without -bearer": {"GET", "/resource", 401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.token) }},
			"invalid_client":         {"POST", "/token", 401, func(r *http.Request) { r.SetBasicAuth("demo", "guess") }},
			"invalid_client at /par": {"POST", "/par", 401, func(r *http.Request) { r.Header.Del("Authorization") }},
			"grant type":             {"POST", "/token", 400, func(r *http.Request) { setForm(r, url.Values{}) }},
			"response type":          {"POST", "/par", 400, nil},
			"a large body":           {"POST", "/token", 400, func(r *http.Request) { setForm(r, url.Values{"a": {strings.Repeat("b", 1<<17)}}) }},
			"not pushed":             {"GET", "/authorize?client_id=demo&request_uri=x", 400, nil},
			"another client":         {"GET", "/authorize", 400, nil},
			"method at /token":       {"GET", "/token", 405, nil},
			"method at /par":         {"PUT", "/par", 405, nil},
			"method at /resource":    {"DELETE", "/resource", 405, nil},
			"path":                   {"GET", "/nothing", 404, nil},
		} {
			r := newRequest(t, c, refused.method, c.issuer+refused.path, "")
			proven := &client{key: c.key}
			if refused.path == "/resource" {
				r.Header.Set("Authorization", "DPoP "+c.token)
				proven.token = c.token
			}
			if err := proven.prove(r, ""); err != nil {
				t.Fatal(err)
			}
			if refused.change != nil {
				refused.change(r)
			}
			response, body := send(t, r)
			checkRefusal(t, name+", "+what, response, body, refused.status)
			if strings.HasPrefix(what, "invalid_client") && response.Header.Get("DPoP-Nonce") == "" {
				t.Errorf("%s, %s: no nonce", name, what)
			}
		}
		if err := s.db.Migrator().DropTable("dpop_nonces"); err != nil {
			t.Fatal(err)
		}
		r := newRequest(t, c, "GET", c.resourceID, c.token)
		if err := c.prove(r, c.nonce); err != nil {
			t.Fatal(err)
		}
		response, body := send(t, r)
		checkRefusal(t, name+", store", response, body, 503)
	}
}

func checkRefusal(t *testing.T, what string, response *http.Response, body string, status int) {
	t.Helper()
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	err := json.Unmarshal([]byte(body), &answer)
	if response.StatusCode != status || err != nil || answer.Error == "" || answer.Description == "" {
		t.Errorf("%s: %s %q", what, response.Status, body)
	}
	if got := response.Header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("%s: Cache-Control %q", what, got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q", what, got)
	}
	if challenged := response.Header.Get("WWW-Authenticate") != ""; challenged != (status == 401) {
		t.Errorf("%s: WWW-Authenticate %q", what, response.Header.Values("WWW-Authenticate"))
	}
}

// The nonce beside invalid_client spares the next request its challenge.
func TestNonceBesideInvalidClientIsAccepted(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy)
		secret := c.clientSecret
		c.clientSecret = "guess"
		if status, err := c.requestToken(t.Context()); err != nil || status != 401 || counts(t, s) != [2]int64{} {
			t.Error(name, status, err)
		}
		c.clientSecret = secret
		if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
			t.Error(name, status, err)
		}
	}
}

func TestHeadAndPreflightAreAnswered(t *testing.T) {
	c, s := start(t, singleUse)
	c.authorize(t)
	r := newRequest(t, c, "HEAD", c.resourceID, c.token)
	r.Body, r.ContentLength = nil, 0
	r.Header.Set("Origin", "https://app.example")
	if err := c.prove(r, c.nonce); err != nil {
		t.Fatal(err)
	}
	response, _ := send(t, r)
	exposed := strings.ToLower(response.Header.Get("Access-Control-Expose-Headers"))
	if response.StatusCode != 200 || strings.Count(exposed, "dpop-nonce") != 1 || response.Header.Get("DPoP-Nonce") == "" {
		t.Error(response.Status, response.Header)
	}
	before := counts(t, s)
	for _, method := range []string{"GET", "HEAD", "POST"} {
		r := newRequest(t, c, "OPTIONS", c.tokenURL, "")
		r.Body, r.ContentLength, r.Header = nil, 0, http.Header{}
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", method)
		r.Header.Set("Access-Control-Request-Headers", "authorization,dpop")
		response, _ := send(t, r)
		if response.StatusCode != 204 || response.Header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
			response.Header.Get("Access-Control-Max-Age") != "7200" || counts(t, s) != before {
			t.Error(method, response.Status, response.Header)
		}
	}
}
