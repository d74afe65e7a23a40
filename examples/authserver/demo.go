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
	c.addr, c.file, c.metrics = "127.0.0.1:0", filepath.Join(dir, "authserver.db"), true
	return serveAnd(ctx, c, demoLog(), func(ctx context.Context, issuer string) error {
		client, err := newClient(c, issuer)
		if err != nil {
			return err
		}
		if err := client.story(ctx); err != nil {
			return err
		}
		return printMetrics(ctx, issuer)
	})
}

// demoLog writes short lines, for people.
func demoLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// A client has a key and, as clients do, one nonce for the server's origin.
type client struct {
	config
	key        *ecdsa.PrivateKey
	token      string
	nonce      string
	proof      string        // the last one
	skew       time.Duration // of the client's clock
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
	used, ofUsed := "A new proof with a used nonce is challenged", 401
	if c.policy == dpophttp.Window {
		used, ofUsed = "A new proof with a used nonce passes, until the nonce expires", 200
	}
	same, ofSame := "The very same proof again is refused", 401
	if c.policy == dpophttp.Window && !c.proofs {
		same, ofSame = "The very same proof again passes, since the server remembers none", 200
	}
	for _, step := range []struct {
		title string
		do    func() (int, error)
		want  int
	}{
		{"A token request without a nonce is challenged", func() (int, error) { return c.requestToken(ctx) }, 400},
		{"Repeated with the nonce of the challenge, it gets a token for the client's key", func() (int, error) {
			first = c.nonce
			return c.requestToken(ctx)
		}, 200},
		{"The resource, on the same origin, takes the last nonce", func() (int, error) { return c.requestResource(ctx, c.nonce) }, 200},
		{same, func() (int, error) { return c.replayResource(ctx) }, ofSame},
		{"The next request passes with the nonce of the last response", func() (int, error) { return c.requestResource(ctx, c.nonce) }, 200},
		{used, func() (int, error) { return c.requestResource(ctx, first) }, ofUsed},
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
	if err := c.prove(r, c.nonce); err != nil {
		return 0, err
	}
	response, body, err := c.exchange(r)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	err = json.Unmarshal(body, &answer)
	c.token = answer.Token
	return response.StatusCode, err
}

func (c *client) requestResource(ctx context.Context, nonce string) (int, error) {
	return c.getResource(ctx, func(r *http.Request) error { return c.prove(r, nonce) })
}

// replayResource sends the last proof again.
func (c *client) replayResource(ctx context.Context) (int, error) {
	return c.getResource(ctx, func(r *http.Request) error {
		fmt.Printf("  > %s %s  the last proof\n", r.Method, r.URL.Path)
		r.Header.Set("DPoP", c.proof)
		return nil
	})
}

func (c *client) getResource(ctx context.Context, prove func(*http.Request) error) (int, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", c.resourceID, nil)
	if err != nil {
		return 0, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "DPoP "+c.token)
	}
	if err := prove(r); err != nil {
		return 0, err
	}
	response, _, err := c.exchange(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, nil
}

// prove gives r a new proof.
func (c *client) prove(r *http.Request, nonce string) (err error) {
	fmt.Printf("  > %s %s  proof with %s\n", r.Method, r.URL.Path, cmp.Or(nonceText(nonce), "no nonce"))
	c.proof, err = newProof(c.key, r, c.token, nonce, time.Now().Add(c.skew))
	r.Header.Set("DPoP", c.proof)
	return err
}

// exchange sends r, prints the response, and keeps its nonce.
func (c *client) exchange(r *http.Request) (*http.Response, []byte, error) {
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
	c.nonce = cmp.Or(response.Header.Get("DPoP-Nonce"), c.nonce)
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
func newProof(key *ecdsa.PrivateKey, r *http.Request, token, nonce string, iat time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", err
	}
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": r.URL.String(), "iat": iat.Unix()}
	if token != "" {
		claims["ath"] = hashOf(token)
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}
