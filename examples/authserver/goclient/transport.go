package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A transport signs a proof for each request. It keeps the last nonce of each
// origin, as RFC 9449 section 8.2 says, and repeats a challenged request once, with
// the nonce of the challenge: the last one of the origin may be another's by then.
type transport struct {
	signer jose.Signer
	skew   time.Duration
	base   http.Transport
	mu     sync.Mutex
	nonces map[string]string // by origin
}

func newTransport(skew time.Duration) (*transport, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	return &transport{signer: signer, skew: skew, base: http.Transport{MaxIdleConnsPerHost: 16}, nonces: map[string]string{}}, err
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	origin := r.URL.Scheme + "://" + r.URL.Host
	t.mu.Lock()
	nonce := t.nonces[origin]
	t.mu.Unlock()
	response, err := t.send(r, origin, nonce)
	if err != nil || !challenged(response) || r.Body != nil && r.GetBody == nil {
		return response, err
	}
	_ = response.Body.Close()
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return t.send(again, origin, response.Header.Get("DPoP-Nonce"))
}

// send sends r with a proof, and keeps the nonce of the response.
func (t *transport) send(r *http.Request, origin, nonce string) (*http.Response, error) {
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": r.URL.String(), "iat": time.Now().Add(t.skew).Unix()}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP "); ok {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	proof, err := jwt.Signed(t.signer).Claims(claims).Serialize()
	if err != nil {
		return nil, err
	}
	signed := r.Clone(r.Context()) // a RoundTripper does not change a request
	signed.Header.Set("DPoP", proof)
	response, err := t.base.RoundTrip(signed)
	if err != nil {
		return nil, err
	}
	if next := response.Header.Get("DPoP-Nonce"); next != "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.nonces[origin] = next
	}
	return response, nil
}

// challenged reports whether the server asks for another nonce: in the challenge
// of a resource server, or in the body of an authorization server.
func challenged(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusUnauthorized:
		return strings.Contains(strings.Join(response.Header.Values("WWW-Authenticate"), ","), `error="use_dpop_nonce"`)
	case http.StatusBadRequest:
		body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		_ = response.Body.Close()
		response.Body = io.NopCloser(strings.NewReader(string(body)))
		var refusal struct{ Error string }
		return err == nil && json.Unmarshal(body, &refusal) == nil && refusal.Error == "use_dpop_nonce"
	}
	return false
}
