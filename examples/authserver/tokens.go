package main

import (
	"crypto/rand"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const tokenTTL = 10 * time.Minute

// tokens are access tokens (RFC 9068), bound to the key of a proof (RFC 9449
// section 6), or to none if it has no proof.
type tokens struct {
	issuer string
	key    jose.JSONWebKey
}

type tokenClaims struct {
	jwt.Claims
	ClientID     string        `json:"client_id"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// thumbprint returns that of the key that the token is bound to, or "".
func (c tokenClaims) thumbprint() string {
	if c.Confirmation == nil {
		return ""
	}
	return c.Confirmation.Thumbprint
}

func (t tokens) audience() string { return t.issuer + "/resource" }

func (t tokens) issue(client, thumbprint string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: t.key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims := tokenClaims{
		Claims: jwt.Claims{
			Issuer: t.issuer, Subject: client, Audience: jwt.Audience{t.audience()}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenTTL)),
		},
		ClientID: client,
	}
	if thumbprint != "" {
		claims.Confirmation = &confirmation{thumbprint}
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

func (t tokens) verify(text string) (claims tokenClaims, err error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return claims, err
	}
	if err := token.Claims(t.key.Public(), &claims); err != nil {
		return claims, err
	}
	return claims, claims.ValidateWithLeeway(jwt.Expected{
		Issuer: t.issuer, AnyAudience: jwt.Audience{t.audience()}, Time: time.Now(),
	}, 0)
}
