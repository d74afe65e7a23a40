package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// The algorithms of proofs, and their names in the metadata and in challenges.
var (
	proofAlgs     = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256}
	proofAlgNames = []string{"ES256", "EdDSA", "PS256"}
)

const maxProof = 16 << 10 // bytes

// A proof is a verified DPoP proof. Its nonce and its jti are not verified: the
// Guard does that, in this order.
type proof struct {
	nonce, jti string
	thumbprint string // of its key (RFC 7638)
}

// verifyProof runs all checks of RFC 9449 section 4.3 except those of the nonce.
// It does not compare iat: the nonce, which is always required, says how old the
// proof can be, whatever the client's clock says (sections 4.3 and 11.1). The
// token is empty at the authorization server.
func verifyProof(r *http.Request, issuer, token string) (*proof, error) {
	values := r.Header.Values("DPoP")
	switch {
	case len(values) != 1:
		return nil, fmt.Errorf("%d DPoP headers", len(values))
	case len(values[0]) > maxProof:
		return nil, fmt.Errorf("%d bytes", len(values[0]))
	}
	key, claims, err := open(values[0])
	if err != nil {
		return nil, err
	}
	if err := claims.fit(r, issuer, token); err != nil {
		return nil, err
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &proof{string(claims.Nonce), string(claims.JTI), base64.RawURLEncoding.EncodeToString(thumbprint)}, nil
}

// open checks the JOSE header and the signature.
func open(compact string) (*jose.JSONWebKey, *proofClaims, error) {
	jws, err := jose.ParseSignedCompact(compact, proofAlgs)
	if err != nil {
		return nil, nil, err
	}
	header := jws.Signatures[0].Protected
	key := header.JSONWebKey
	switch {
	case header.ExtraHeaders[jose.HeaderType] != "dpop+jwt":
		return nil, nil, errors.New("typ is not dpop+jwt")
	case has(header.ExtraHeaders, "crit") || has(header.ExtraHeaders, "b64"):
		return nil, nil, errors.New("crit and b64 are not allowed in a proof") // RFC 7797 section 7
	case key == nil:
		return nil, nil, errors.New("no jwk")
	case !key.Valid() || !key.IsPublic():
		return nil, nil, errors.New("jwk is not a public key")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, nil, err
	}
	var claims proofClaims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, nil, err
	}
	return key, &claims, nil
}

func has(headers map[jose.HeaderKey]any, name jose.HeaderKey) bool {
	_, ok := headers[name]
	return ok
}

type proofClaims struct {
	JTI   text     `json:"jti"`
	HTM   text     `json:"htm"`
	HTU   text     `json:"htu"`
	IAT   *float64 `json:"iat"`
	ATH   text     `json:"ath"`
	Nonce text     `json:"nonce"`
}

// text is a claim that must be a string if it is present. null is not a string.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		return errors.New("a claim is not a string")
	}
	return json.Unmarshal(b, (*string)(t))
}

// fit returns an error if the claims do not match the request.
func (c *proofClaims) fit(r *http.Request, issuer, token string) error {
	switch {
	case c.JTI == "":
		return errors.New("no jti")
	case string(c.HTM) != r.Method:
		return errors.New("htm is not the request's method")
	case !sameTarget(string(c.HTU), issuer+r.URL.EscapedPath()):
		return errors.New("htu is not the request's URL")
	case c.IAT == nil:
		return errors.New("no iat")
	case token != "" && subtle.ConstantTimeCompare([]byte(c.ATH), []byte(hashOf(token))) != 1:
		return errors.New("ath does not match the access token")
	}
	return nil
}

// hashOf returns the ath of an access token.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameTarget compares an htu with the URL of the request, without query and
// fragment, after the normalization of RFC 3986 sections 6.2.2 and 6.2.3.
func sameTarget(htu, target string) bool {
	a, err := url.Parse(htu)
	if err != nil || a.User != nil {
		return false
	}
	b, err := url.Parse(target)
	return err == nil && normalized(a) == normalized(b)
}

func normalized(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return scheme + "://" + host + path
}

type proofKey struct{}

// withProof stores the proof for the Guard and the handlers behind it.
func withProof(r *http.Request, p *proof) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), proofKey{}, p))
}

// proofOf returns the proof that withProof stored, or nil.
func proofOf(r *http.Request) *proof {
	p, _ := r.Context().Value(proofKey{}).(*proof)
	return p
}

// guardProof is the Proof of the Guards.
func guardProof(r *http.Request) (p dpophttp.Proof, verified bool) {
	if p := proofOf(r); p != nil {
		return dpophttp.Proof{Nonce: p.nonce, ID: p.thumbprint + "." + p.jti}, true
	}
	return p, false
}
