package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// twoNodes starts two nodes of one server, with one issuer and one database, and
// returns the URLs of the resource at each.
func twoNodes(t *testing.T, settings ...func(*config)) (*testClient, [2]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shared.db")
	settings = append([]func(*config){func(c *config) { c.file = file }}, settings...)
	c, _ := start(t, settings...)
	other, _ := start(t, append(settings, func(node *config) { node.issuer = c.issuer })...)
	return c, [2]string{"http://" + c.addr + "/resource", "http://" + other.addr + "/resource"}
}

func TestSameProofPassesOnceOnTwoNodes(t *testing.T) {
	for name, database := range map[string]func(*testing.T) func(*config){
		"one SQLite file": func(*testing.T) func(*config) { return func(*config) {} },
		"one PostgreSQL":  func(t *testing.T) func(*config) { return on(schemaDSN(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			shared := database(t)
			for name, policy := range policies {
				c, nodes := twoNodes(t, policy, shared)
				c.authorize(t)
				for range 20 {
					c.pass(t)
					r := newRequest(t, c, "GET", c.resourceID, c.token)
					if err := c.prove(r, c.nonce); err != nil {
						t.Fatal(err)
					}
					answers := sendTo(t, r.Header, nodes[0], nodes[1], nodes[0], nodes[1])
					if answers[200] != 1 || answers[401] != 3 {
						t.Fatalf("%s: answers to one proof: %v", name, answers)
					}
				}
			}
		})
	}
}

// sendTo sends requests with these headers at once, and counts the answers by
// their status.
func sendTo(t *testing.T, headers http.Header, urls ...string) map[int]int {
	t.Helper()
	var running sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for _, url := range urls {
		running.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = headers.Clone()
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			answers[response.StatusCode]++
		})
	}
	running.Wait()
	return answers
}

// A success carries a nonce where the client's is due, once in half a ttl.
func TestNodesHaveOneCurrentNonce(t *testing.T) {
	c, nodes := twoNodes(t, func(c *config) { c.ttl = time.Hour })
	c.authorize(t)
	renewed := 0
	for _, url := range append(nodes[:], nodes[:]...) {
		r := newRequest(t, c, "GET", c.resourceID, c.token)
		if err := c.prove(r, c.nonce); err != nil {
			t.Fatal(err)
		}
		there := newRequest(t, c, "GET", url, "")
		there.Header = r.Header
		response, body := send(t, there)
		if response.StatusCode != 200 {
			t.Fatal(response.Status, body)
		}
		if nonce := response.Header.Get("DPoP-Nonce"); nonce != "" {
			c.nonce, renewed = nonce, renewed+1
		}
	}
	if renewed > 1 {
		t.Fatal("new nonces on two nodes:", renewed)
	}
}

// The nonce says how old a proof is, whatever the client's clock says.
func TestClientWithWrongClockIsServed(t *testing.T) {
	for name, policy := range policies {
		for _, off := range []time.Duration{-time.Hour, time.Hour} {
			c, s := start(t, policy)
			c.skew = off
			c.authorize(t)
			before := counts(t, s)
			for _, nonce := range []string{"", "gone", ""} { // challenged, at no row
				if status, err := c.requestResource(t.Context(), nonce); err != nil || status != 401 {
					t.Error(name, off, status, err)
				}
			}
			if after := counts(t, s); after != before {
				t.Errorf("%s: counts of nonces %v, before the challenges %v", name, after, before)
			}
			if status, err := c.requestResource(t.Context(), c.nonce); err != nil || status != 200 {
				t.Error(name, off, status, err)
			}
		}
	}
}

func TestLongNonceIsChallengedWithoutStatement(t *testing.T) {
	for name, policy := range policies {
		c, s := start(t, policy)
		c.authorize(t)
		accepted, long := c.nonce, strings.Repeat("n", 10<<10)
		before := counts(t, s)
		if status, err := c.requestResource(t.Context(), long); err != nil || status != 401 || counts(t, s) != before {
			t.Error(name, status, err)
		}
		if reason := c.log.last("reason"); reason != "unknown" {
			t.Error(name, reason)
		}
		if status, err := c.requestResource(t.Context(), accepted); err != nil || status != 200 {
			t.Error(name, status, err)
		}
		if err := s.db.Migrator().DropTable("dpop_nonces"); err != nil {
			t.Fatal(err)
		}
		if status, err := c.requestResource(t.Context(), long); err != nil || status != 401 {
			t.Error(name, "without a table:", status, err)
		}
	}
}

func TestExpiredNonceIsChallenged(t *testing.T) {
	for name, policy := range policies {
		file := filepath.Join(t.TempDir(), "shared.db")
		node := func(ahead time.Duration) *testClient {
			c, _ := start(t, policy, func(c *config) { c.file, c.ahead = file, ahead })
			return c
		}
		c, later := node(0), node(time.Hour)
		c.authorize(t)
		later.nonce = c.nonce
		for _, want := range []int{400, 200} {
			if status, err := later.requestToken(t.Context()); err != nil || status != want {
				t.Error(name, status, err)
			}
		}
		if reason := later.log.value("reason"); reason != "expired" {
			t.Error(name, reason)
		}
	}
}

// A proof that is refused for its nonce is not remembered.
func TestChallengedProofIsNotRemembered(t *testing.T) {
	c, s := start(t)
	c.authorize(t)
	sign := signed(jose.ES256, c.key, "dpop+jwt", true)
	for i, nonce := range []string{"", "gone", c.nonce, c.nonce} {
		r := newRequest(t, c, "GET", c.resourceID, c.token)
		claims := map[string]any{"jti": "one", "htm": "GET", "htu": c.resourceID, "iat": 1, "nonce": nonce, "ath": hashOf(c.token)}
		r.Header.Set("DPoP", sign(t, claims))
		response, body := send(t, r)
		if want := []int{401, 401, 200, 401}[i]; response.StatusCode != want {
			t.Fatal(i, response.Status, body)
		}
	}
	if n := counts(t, s); n != [2]int64{2, 0} { // the token's proof and this one
		t.Fatal("counts of nonces", n)
	}
}

func TestSQLitePoolIsBounded(t *testing.T) {
	_, s := start(t)
	pool, err := s.db.DB()
	if err != nil {
		t.Fatal(err)
	}
	if n := pool.Stats().MaxOpenConnections; n < 1 || n > 8 {
		t.Fatal("connections:", n)
	}
}
