package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// runDemo runs the server on a free port with a new database, and a client that
// prints each request and response.
func runDemo(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp("", "authserver")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.addr, c.file = "127.0.0.1:0", filepath.Join(dir, "authserver.db")
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	return serveAnd(ctx, c, log, func(ctx context.Context, issuer string) error {
		client, err := newClient(c, issuer)
		if err != nil {
			return err
		}
		return client.story(ctx)
	})
}

// A client has a key and the last nonce of each server.
type client struct {
	config
	key        *ecdsa.PrivateKey
	token      string
	asNonce    string
	rsNonce    string
	tokenURL   string
	resourceID string
}

func newClient(c config, issuer string) (*client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &client{config: c, key: key, tokenURL: issuer + "/token", resourceID: issuer + "/resource"}, err
}

// story runs the flow and fails at the first unexpected response.
func (c *client) story(ctx context.Context) error {
	var first string
	replay, refused := "A proof with a used nonce is challenged", http.StatusUnauthorized
	if c.policy == dpophttp.Window {
		replay, refused = "A used nonce passes again within its window: only the jti shows a replay", http.StatusOK
	}
	for _, step := range []struct {
		title string
		do    func() (int, error)
		want  int
	}{
		{"A token request without a nonce is challenged", func() (int, error) { return c.requestToken(ctx) }, 400},
		{"Repeated with the nonce of the challenge, it gets a token for the client's key", func() (int, error) { return c.requestToken(ctx) }, 200},
		{"The resource server asks for a nonce of its own", func() (int, error) { return c.requestResource(ctx, c.rsNonce) }, 401},
		{"Repeated with that nonce, the request passes", func() (int, error) {
			first = c.rsNonce
			return c.requestResource(ctx, c.rsNonce)
		}, 200},
		{"The next request passes with the nonce of the last response", func() (int, error) { return c.requestResource(ctx, c.rsNonce) }, 200},
		{replay, func() (int, error) { return c.requestResource(ctx, first) }, refused},
		{"A request without a token gets neither the resource nor a nonce", func() (int, error) {
			c.token = ""
			return c.requestResource(ctx, "")
		}, 401},
	} {
		fmt.Println("\n" + step.title)
		status, err := step.do()
		if err != nil {
			return err
		}
		if status != step.want {
			return fmt.Errorf("%s: status %d, want %d", step.title, status, step.want)
		}
	}
	fmt.Println()
	return nil
}

func (c *client) requestToken(ctx context.Context) (int, error) {
	form := url.Values{"grant_type": {"client_credentials"}}.Encode()
	r, err := http.NewRequestWithContext(ctx, "POST", c.tokenURL, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.clientID), url.QueryEscape(c.clientSecret))
	response, body, err := c.exchange(r, c.asNonce)
	if err != nil {
		return 0, err
	}
	c.asNonce = cmp.Or(response.Header.Get("DPoP-Nonce"), c.asNonce)
	var answer struct {
		Token string `json:"access_token"`
	}
	err = json.Unmarshal(body, &answer)
	c.token = answer.Token
	return response.StatusCode, err
}

func (c *client) requestResource(ctx context.Context, nonce string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", c.resourceID, nil)
	if err != nil {
		return 0, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "DPoP "+c.token)
	}
	response, _, err := c.exchange(r, nonce)
	if err != nil {
		return 0, err
	}
	c.rsNonce = cmp.Or(response.Header.Get("DPoP-Nonce"), c.rsNonce)
	return response.StatusCode, nil
}

// exchange sends r with a proof and prints the request and the response.
func (c *client) exchange(r *http.Request, nonce string) (*http.Response, []byte, error) {
	proof, err := newProof(c.key, r, c.token, nonce)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("DPoP", proof)
	fmt.Printf("  > %s %s  proof with %s\n", r.Method, r.URL.Path, cmp.Or(nonceText(nonce), "no nonce"))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println("  <", response.Status)
	for _, name := range []string{"DPoP-Nonce", "WWW-Authenticate", "Cache-Control"} {
		if value := response.Header.Get(name); value != "" {
			fmt.Printf("  < %s: %s\n", name, value)
		}
	}
	if len(body) > 0 {
		fmt.Println("  <", shorten(strings.TrimSpace(string(body))))
	}
	return response, body, err
}

func nonceText(nonce string) string {
	if nonce == "" {
		return ""
	}
	return "nonce " + nonce
}

func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}

// newProof makes a DPoP proof for r (RFC 9449 section 4.2).
func newProof(key *ecdsa.PrivateKey, r *http.Request, token, nonce string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", err
	}
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": r.URL.String(), "iat": time.Now().Unix()}
	if token != "" {
		claims["ath"] = hashOf(token)
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}
