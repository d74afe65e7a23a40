package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A forgery changes a valid proof at one place.
type forgery struct {
	claims func(map[string]any)                             // changes the claims
	sign   func(t *testing.T, claims map[string]any) string // signs them in another way
	proofs func(valid string) []string                      // replaces the DPoP header
}

func signed(alg jose.SignatureAlgorithm, key any, typ string, embed bool) func(*testing.T, map[string]any) string {
	return signedWith(alg, key, (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ)))
}

func signedWith(alg jose.SignatureAlgorithm, key any, options *jose.SignerOptions) func(*testing.T, map[string]any) string {
	return func(t *testing.T, claims map[string]any) string {
		t.Helper()
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		return signText(t, alg, key, options, string(text))
	}
}

func signText(t *testing.T, alg jose.SignatureAlgorithm, key any, options *jose.SignerOptions, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withHeader signs with one more member in the JOSE header.
func withHeader(t *testing.T, name jose.HeaderKey, value any) func(*testing.T, map[string]any) string {
	return signedWith(jose.ES256, newKey(t), (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt").WithHeader(name, value))
}

// withPrivateKey signs with the private key in the jwk header.
func withPrivateKey(t *testing.T, claims map[string]any) string {
	t.Helper()
	key := newKey(t)
	text, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return signedWith(jose.ES256, key, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", json.RawMessage(text)))(t, claims)
}

// withTwoNonces signs claims that have the nonce twice: another one first, or last.
func withTwoNonces(t *testing.T, first bool) func(*testing.T, map[string]any) string {
	key := newKey(t)
	return func(t *testing.T, claims map[string]any) string {
		t.Helper()
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		members := string(text[1 : len(text)-1])
		if first {
			members = `"nonce":"unknown",` + members
		} else {
			members += `,"nonce":"unknown"`
		}
		return signText(t, jose.ES256, key, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), "{"+members+"}")
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func set(name string, value any) func(map[string]any) {
	return func(claims map[string]any) { claims[name] = value }
}

func forgeries(t *testing.T) map[string]forgery {
	key := newKey(t)
	return map[string]forgery{
		"no proof":            {proofs: func(string) []string { return nil }},
		"not a JWT":           {proofs: func(string) []string { return []string{"garbage"} }},
		"empty header":        {proofs: func(string) []string { return []string{""} }},
		"two proofs":          {proofs: func(valid string) []string { return []string{valid, valid} }},
		"one megabyte":        {proofs: func(string) []string { return []string{strings.Repeat("a", 1<<20)} }},
		"bytes outside ASCII": {proofs: func(string) []string { return []string{"\xff\xfe.\x80.\x80"} }},
		"wrong signature":     {proofs: func(valid string) []string { return []string{valid[:len(valid)-10] + "AAAAAAAAAA"} }},
		"padding":             {proofs: func(valid string) []string { return []string{valid + "="} }},
		"padded header":       {proofs: func(valid string) []string { return []string{strings.Replace(valid, ".", "==.", 1)} }},
		"white space":         {proofs: func(valid string) []string { return []string{strings.Replace(valid, ".", " .", 1)} }},
		"tabulator":           {proofs: func(valid string) []string { return []string{valid[:9] + "\t" + valid[9:]} }},
		"alg none": {proofs: func(valid string) []string {
			return []string{"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ" + valid[strings.Index(valid, "."):]}
		}},
		"shared secret":         {sign: signed(jose.HS256, make([]byte, 32), "dpop+jwt", false)},
		"private key":           {sign: withPrivateKey},
		"no jwk":                {sign: signed(jose.ES256, key, "dpop+jwt", false)},
		"typ JWT":               {sign: signed(jose.ES256, key, "JWT", true)},
		"no claims":             {claims: func(c map[string]any) { clear(c) }},
		"nonce is a number":     {claims: set("nonce", 7)},
		"nonce is null":         {claims: set("nonce", nil)},
		"crit is empty":         {sign: withHeader(t, "crit", []string{})},
		"b64 is false":          {sign: withHeader(t, "b64", false)},
		"nonce twice":           {sign: withTwoNonces(t, true)},
		"nonce and another":     {sign: withTwoNonces(t, false)},
		"nonce is an object":    {claims: set("nonce", map[string]any{})},
		"no jti":                {claims: func(c map[string]any) { delete(c, "jti") }},
		"jti is a number":       {claims: set("jti", 7)},
		"htm of another method": {claims: set("htm", "PUT")},
		"htu of another URL":    {claims: set("htu", "https://elsewhere.example/token")},
		"malformed htu":         {claims: set("htu", "http://%zz")},
		"no iat":                {claims: func(c map[string]any) { delete(c, "iat") }},
		"iat is a string":       {claims: set("iat", "now")},
	}
}

func TestForgedProofIsRefusedAndSpendsNothing(t *testing.T) {
	c, s := start(t, singleUse)
	c.authorize(t)
	before := counts(t, s)
	all := forgeries(t)
	all["ath of another token"] = forgery{claims: set("ath", hashOf("another token"))}
	all["no ath"] = forgery{claims: func(c map[string]any) { delete(c, "ath") }}
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			for _, target := range []struct {
				method, url, token string
				status             int
			}{
				{"POST", c.tokenURL, "", 400},
				{"GET", c.resourceID, c.token, 401},
			} {
				if target.token == "" && strings.Contains(name, "ath") {
					continue
				}
				r := newRequest(t, c, target.method, target.url, target.token)
				claims := map[string]any{"jti": rand.Text(), "htm": target.method, "htu": target.url,
					"iat": time.Now().Unix(), "nonce": c.nonce, "ath": hashOf(target.token)}
				sign := signed(jose.ES256, c.key, "dpop+jwt", true)
				if f.claims != nil {
					f.claims(claims)
				}
				if f.sign != nil {
					sign = f.sign
				}
				r.Header["Dpop"] = []string{sign(t, claims)}
				if f.proofs != nil {
					r.Header["Dpop"] = f.proofs(sign(t, claims))
				}
				response, body := send(t, r)
				if response.StatusCode != target.status || !strings.Contains(body+response.Header.Get("WWW-Authenticate"), "invalid_dpop_proof") ||
					response.Header.Get("DPoP-Nonce") != "" {
					t.Errorf("%s: %s %v %s", target.url, response.Status, response.Header, body)
				}
			}
		})
	}
	if after := counts(t, s); after != before {
		t.Fatalf("counts of nonces %v, before %v", after, before)
	}
	if status, err := c.requestResource(t.Context(), c.nonce); err != nil || status != 200 {
		t.Fatal(status, err)
	}
}
