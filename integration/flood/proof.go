package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

type claims struct {
	JTI   string `json:"jti"`
	HTM   string `json:"htm"`
	HTU   string `json:"htu"`
	IAT   int64  `json:"iat"`
	Nonce string `json:"nonce,omitempty"`
}

// verify runs the checks of RFC 9449 section 4.3 that come before the nonce.
func verify(r *http.Request, url string) (p dpophttp.Proof, verified bool) {
	jws, err := jose.ParseSignedCompact(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return p, false
	}
	header := jws.Signatures[0].Protected
	if header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() || header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" {
		return p, false
	}
	payload, err := jws.Verify(header.JSONWebKey)
	if err != nil {
		return p, false
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c.JTI == "" || c.HTM != r.Method || c.HTU != url {
		return p, false
	}
	thumbprint, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return p, false
	}
	return dpophttp.Proof{Nonce: c.Nonce, ID: base64.RawURLEncoding.EncodeToString(thumbprint) + "." + c.JTI}, true
}

// newSigner has a new key.
func newSigner() (jose.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
}

func newProof(signer jose.Signer, url, nonce string) (string, error) {
	return jwt.Signed(signer).Claims(claims{rand.Text(), http.MethodPost, url, time.Now().Unix(), nonce}).Serialize()
}
