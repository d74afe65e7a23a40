package main

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const verifier = "a-verifier-of-more-than-forty-three-characters"

// post sends a form of the registered client, with a proof, and one retry.
func (c *testClient) post(t *testing.T, path string, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	for range 2 {
		r := newRequest(t, c, "POST", c.issuer+path, "")
		setForm(r, form)
		token := c.token
		c.token = "" // no ath
		err := c.prove(r, c.nonce)
		c.token = token
		if err != nil {
			t.Fatal(err)
		}
		response, body := send(t, r)
		c.nonce = cmp.Or(response.Header.Get("DPoP-Nonce"), c.nonce)
		status, answer = response.StatusCode, decode(t, body)
		if answer["error"] != "use_dpop_nonce" {
			break
		}
	}
	return status, answer
}

func (c *testClient) pushed(change ...string) url.Values {
	form := url.Values{
		"response_type": {"code"}, "client_id": {"demo"}, "redirect_uri": {c.redirectURI}, "state": {"a state"},
		"code_challenge": {hashOf(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

// visit opens the authorization endpoint and returns the answer, or the redirect's
// parameters.
func (c *testClient) visit(t *testing.T, requestURI string) (status int, redirect url.Values) {
	t.Helper()
	follow := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := follow.Get(c.issuer + "/authorize?" + url.Values{"client_id": {"demo"}, "request_uri": {requestURI}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	to, err := url.Parse(response.Header.Get("Location"))
	if err != nil || response.StatusCode == 303 && !strings.HasPrefix(to.String(), c.redirectURI) {
		t.Fatal(to, err)
	}
	return response.StatusCode, to.Query()
}

// code returns a new code.
func (c *testClient) code(t *testing.T) string {
	t.Helper()
	status, answer := c.post(t, "/par", c.pushed())
	if status != 201 {
		t.Fatal(status, answer)
	}
	name, _ := answer["request_uri"].(string)
	status, redirect := c.visit(t, name)
	if status != 303 || redirect.Get("state") != "a state" || redirect.Get("iss") != c.issuer {
		t.Fatal(status, redirect)
	}
	if status, _ := c.visit(t, name); status != 400 {
		t.Fatal("a request_uri passes twice:", status)
	}
	return redirect.Get("code")
}

func (c *testClient) redemption(code string, change ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.redirectURI}, "code_verifier": {verifier}}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

func TestPushedRequestLeadsToToken(t *testing.T) {
	for name, policy := range policies {
		c, _ := start(t, policy)
		status, answer := c.post(t, "/token", c.redemption(c.code(t)))
		if status != 200 || answer["token_type"] != "DPoP" {
			t.Fatal(name, status, answer)
		}
		c.token, _ = answer["access_token"].(string)
		if status, err := c.requestResource(t.Context(), c.nonce); err != nil || status != 200 {
			t.Fatal(name, status, err)
		}
	}
}

func TestCodePassesOnceAndOnlyWithItsValues(t *testing.T) {
	c, _ := start(t)
	for name, form := range map[string]url.Values{
		"another verifier": c.redemption(c.code(t), "code_verifier", verifier+"."),
		"another redirect": c.redemption(c.code(t), "redirect_uri", "https://app.example/"),
		"unknown":          c.redemption("unknown"),
		"a request_uri":    c.redemption(requestURI),
	} {
		if status, answer := c.post(t, "/token", form); status != 400 || answer["error"] != "invalid_grant" {
			t.Error(name, status, answer)
		}
	}
	_, pushed := c.post(t, "/par", c.pushed("code_challenge", hashOf("")))
	name, _ := pushed["request_uri"].(string)
	_, redirect := c.visit(t, name)
	if status, answer := c.post(t, "/token", c.redemption(redirect.Get("code"), "code_verifier", "")); status != 400 {
		t.Error("an empty verifier", status, answer)
	}
	code := c.code(t)
	for i, want := range []int{200, 400} {
		if status, answer := c.post(t, "/token", c.redemption(code)); status != want {
			t.Error(i, status, answer)
		}
	}
	code = c.code(t)
	c.key = newKey(t)
	if status, answer := c.post(t, "/token", c.redemption(code)); status != 400 || answer["error"] != "invalid_grant" {
		t.Error("another key", status, answer)
	}
}

// The code of a challenged request is not spent: the client sends it again.
func TestChallengeDoesNotSpendCode(t *testing.T) {
	for name, policy := range policies {
		c, _ := start(t, policy)
		code := c.code(t)
		c.nonce = ""
		if status, answer := c.post(t, "/token", c.redemption(code)); status != 200 {
			t.Error(name, status, answer)
		}
	}
}

func TestPushedRequestIsChecked(t *testing.T) {
	c, _ := start(t)
	for want, changes := range map[string][][]string{
		"unsupported_response_type": {{"response_type", "token"}},
		"invalid_request": {
			{"redirect_uri", "https://elsewhere.example"}, {"code_challenge", ""}, {"code_challenge_method", "plain"},
			{"request_uri", "urn:x"}, {"client_id", "another"}, {"dpop_jkt", hashOf("another key")},
		},
	} {
		for _, change := range changes {
			if status, answer := c.post(t, "/par", c.pushed(change...)); status != 400 || answer["error"] != want {
				t.Error(change, status, answer)
			}
		}
	}
}
