package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// start runs the server and returns a client of it, and the database.
func start(t *testing.T, policy dpophttp.Policy) (*client, *store) {
	t.Helper()
	return startOn(t, policy, "")
}

func startOn(t *testing.T, policy dpophttp.Policy, dsn string) (*client, *store) {
	t.Helper()
	c := config{
		addr: "127.0.0.1:0", dsn: dsn, file: filepath.Join(t.TempDir(), "authserver.db"), origin: "https://app.example",
		clientID: "demo", clientSecret: "demo-secret", ttl: time.Minute, policy: policy,
	}
	ctx, stop := context.WithCancel(context.Background())
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serveAnd(ctx, c, slog.New(slog.DiscardHandler), func(ctx context.Context, issuer string) error {
			url <- issuer
			<-ctx.Done()
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case issuer := <-url:
		client, err := newClient(c, issuer)
		if err != nil {
			t.Fatal(err)
		}
		s, err := openStore(ctx, c, slog.New(slog.DiscardHandler)) // the same file
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return client, s
	}
	return nil, nil
}

func TestTheStoryHoldsUnderBothPolicies(t *testing.T) {
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		c, _ := start(t, policy)
		if err := c.story(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestTwoNodesOnPostgreSQLAcceptEachOthersNoncesAndTokens(t *testing.T) {
	dsn := schemaDSN(t)
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		c, _ := startOn(t, policy, dsn)
		if err := c.story(t.Context()); err != nil {
			t.Error(err)
		}
		other, _ := startOn(t, policy, dsn)
		c.tokenURL = other.tokenURL
		if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
			t.Error(status, err)
		}
	}
}

// schemaDSN is a DSN of a new schema. Without a server the test is skipped; in
// CI that is a failure.
func schemaDSN(t *testing.T) string {
	t.Helper()
	dsn, err := url.Parse(os.Getenv("POSTGRES_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	if dsn.Host == "" && os.Getenv("CI") == "true" {
		t.Fatal("POSTGRES_DSN is not set")
	}
	if dsn.Host == "" {
		t.Skip("POSTGRES_DSN is not set: run make test")
	}
	db, err := gorm.Open(postgres.Open(dsn.String()), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	schema := "authserver_" + strings.ToLower(rand.Text())
	if err := db.Exec("CREATE SCHEMA " + schema).Error; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Exec("DROP SCHEMA " + schema + " CASCADE").Error; err != nil {
			t.Error(err)
		}
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	query := dsn.Query()
	query.Set("search_path", schema)
	dsn.RawQuery = query.Encode()
	return dsn.String()
}

// A forgery is what an attacker, or a client with a bug, may send as its proof.
type forgery struct {
	claims func(map[string]any)
	sign   func(t *testing.T, claims map[string]any) string
	proofs func(good string) []string
}

func signed(alg jose.SignatureAlgorithm, key any, typ string, embed bool) func(*testing.T, map[string]any) string {
	return func(t *testing.T, claims map[string]any) string {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key},
			(&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// withHeader is signed well, but its header has one more member.
func withHeader(name jose.HeaderKey, value any) func(*testing.T, map[string]any) string {
	return func(t *testing.T, claims map[string]any) string {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: newKey(t)},
			(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt").WithHeader(name, value))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
}

// withPrivateKey is signed well, but its jwk has d.
func withPrivateKey(t *testing.T, claims map[string]any) string {
	t.Helper()
	key := newKey(t)
	text, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", json.RawMessage(text)))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return proof
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
		"no proof":          {proofs: func(string) []string { return nil }},
		"no JWT":            {proofs: func(string) []string { return []string{"garbage"} }},
		"two proofs":        {proofs: func(good string) []string { return []string{good, good} }},
		"a megabyte":        {proofs: func(string) []string { return []string{strings.Repeat("a", 1<<20)} }},
		"bytes":             {proofs: func(string) []string { return []string{"\xff\xfe.\x80.\x80"} }},
		"another signature": {proofs: func(good string) []string { return []string{good[:len(good)-10] + "AAAAAAAAAA"} }},
		"alg none": {proofs: func(good string) []string {
			return []string{"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ" + good[strings.Index(good, "."):]}
		}},
		"a shared secret":      {sign: signed(jose.HS256, make([]byte, 32), "dpop+jwt", false)},
		"a private key":        {sign: withPrivateKey},
		"no jwk":               {sign: signed(jose.ES256, key, "dpop+jwt", false)},
		"typ JWT":              {sign: signed(jose.ES256, key, "JWT", true)},
		"no claims":            {claims: func(c map[string]any) { clear(c) }},
		"nonce is a number":    {claims: set("nonce", 7)},
		"nonce is null":        {claims: set("nonce", nil)},
		"crit is empty":        {sign: withHeader("crit", []string{})},
		"b64 is false":         {sign: withHeader("b64", false)},
		"nonce is an object":   {claims: set("nonce", map[string]any{})},
		"no jti":               {claims: func(c map[string]any) { delete(c, "jti") }},
		"jti is a number":      {claims: set("jti", 7)},
		"htm of another":       {claims: set("htm", "PUT")},
		"htu of another":       {claims: set("htu", "https://elsewhere.example/token")},
		"htu is no URL":        {claims: set("htu", "http://%zz")},
		"no iat":               {claims: func(c map[string]any) { delete(c, "iat") }},
		"iat is a text":        {claims: set("iat", "now")},
		"iat of an hour ago":   {claims: set("iat", time.Now().Add(-time.Hour).Unix())},
		"iat of an hour ahead": {claims: set("iat", time.Now().Add(time.Hour).Unix())},
	}
}

func TestAProofThatIsNotGoodIsRefusedAndSpendsNothing(t *testing.T) {
	c, s := start(t, dpophttp.SingleUse)
	if status, err := c.requestToken(t.Context()); err != nil || status != 400 {
		t.Fatal(status, err)
	}
	if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if status, err := c.requestResource(t.Context(), ""); err != nil || status != 401 {
		t.Fatal(status, err)
	}
	before := counts(t, s)
	all := forgeries(t)
	all["ath of another"] = forgery{claims: set("ath", hashOf("another token"))}
	all["no ath"] = forgery{claims: func(c map[string]any) { delete(c, "ath") }}
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			for _, target := range []struct {
				method, url, token, nonce, code string
				status                          int
			}{
				{"POST", c.tokenURL, "", c.asNonce, "invalid_dpop_proof", 400},
				{"GET", c.resourceID, c.token, c.rsNonce, "invalid_dpop_proof", 401},
			} {
				if target.token == "" && strings.Contains(name, "ath") {
					continue
				}
				r := newRequest(t, c, target.method, target.url, target.token)
				claims := map[string]any{"jti": rand.Text(), "htm": target.method, "htu": target.url,
					"iat": time.Now().Unix(), "nonce": target.nonce, "ath": hashOf(target.token)}
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
				if response.StatusCode != target.status || !strings.Contains(body+response.Header.Get("WWW-Authenticate"), target.code) ||
					response.Header.Get("DPoP-Nonce") != "" {
					t.Errorf("%s: %s %v %s", target.url, response.Status, response.Header, body)
				}
			}
		})
	}
	if after := counts(t, s); after != before {
		t.Fatalf("nonces, and unused ones: %v, before %v", after, before)
	}
	if status, err := c.requestResource(t.Context(), c.rsNonce); err != nil || status != 200 {
		t.Fatal(status, err)
	}
}

// counts are the nonces of both tables, and those that are not used.
func counts(t *testing.T, s *store) (n [4]int64) {
	t.Helper()
	for i, query := range []string{
		"SELECT count(*) FROM as_dpop_nonces", "SELECT count(*) FROM as_dpop_nonces WHERE used_at IS NULL",
		"SELECT count(*) FROM rs_dpop_nonces", "SELECT count(*) FROM rs_dpop_nonces WHERE used_at IS NULL",
	} {
		if err := s.db.Raw(query).Scan(&n[i]).Error; err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func newRequest(t *testing.T, c *client, method, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(c.clientID, c.clientSecret)
	if token != "" {
		r.Header.Set("Authorization", "DPoP "+token)
	}
	return r
}

func send(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAReplayedProofIsRefusedUnderWindowToo(t *testing.T) {
	c, _ := start(t, dpophttp.Window)
	if status, err := c.requestToken(t.Context()); err != nil || status != 400 {
		t.Fatal(status, err)
	}
	r := newRequest(t, c, "POST", c.tokenURL, "")
	proof, err := newProof(c.key, r, "", c.asNonce)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 400} {
		r := newRequest(t, c, "POST", c.tokenURL, "")
		r.Header.Set("DPoP", proof)
		if response, body := send(t, r); response.StatusCode != want {
			t.Fatal(response.Status, body)
		}
	}
}

func TestATokenOfAnotherKeyIsRefused(t *testing.T) {
	c, _ := start(t, dpophttp.SingleUse)
	for range 2 {
		if _, err := c.requestToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.key = newKey(t)
	if status, err := c.requestResource(t.Context(), ""); err != nil || status != 401 || c.rsNonce != "" {
		t.Fatal(status, err, c.rsNonce)
	}
}

func TestARequestThatIsWrongOtherwiseSpendsNothing(t *testing.T) {
	c, s := start(t, dpophttp.SingleUse)
	if _, err := c.requestToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := counts(t, s)
	for want, change := range map[string]func(*http.Request){
		"invalid_client": func(r *http.Request) { r.SetBasicAuth(c.clientID, "guess") },
		"unsupported_grant_type": func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("grant_type=password"))
			r.ContentLength = -1
		},
		"invalid_request": func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded; =") },
	} {
		r := newRequest(t, c, "POST", c.tokenURL, "")
		proof, err := newProof(c.key, r, "", c.asNonce)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("DPoP", proof)
		change(r)
		if response, body := send(t, r); response.StatusCode < 400 || response.StatusCode > 401 || !strings.Contains(body, want) {
			t.Errorf("%s: %s %s", want, response.Status, body)
		}
	}
	if after := counts(t, s); after != before {
		t.Fatalf("%v, before %v", after, before)
	}
	if status, err := c.requestToken(t.Context()); err != nil || status != 200 {
		t.Fatal(status, err)
	}
}

func TestAStoreThatIsDownIsA503WithoutAChallenge(t *testing.T) {
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		for _, table := range []string{"as_dpop_nonces", "seen_proofs"} {
			c, s := start(t, policy)
			if err := s.db.Migrator().DropTable(table); err != nil {
				t.Fatal(err)
			}
			r := newRequest(t, c, "POST", c.tokenURL, "")
			proof, err := newProof(c.key, r, "", "some-nonce")
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("DPoP", proof)
			if response, body := send(t, r); response.StatusCode != 503 || response.Header.Get("DPoP-Nonce") != "" {
				t.Fatal(table, response.Status, body)
			}
		}
	}
}

func TestTheHTUIsComparedAfterNormalization(t *testing.T) {
	for htu, want := range map[string]bool{
		"https://as.example/token":       true,
		"HTTPS://AS.EXAMPLE:443/token":   true,
		"https://as.example/token?a=b#c": true,
		"https://as.example/token/":      false,
		"http://as.example/token":        false,
		"https://as.example:8443/token":  false,
		"https://as.example.evil/token":  false,
		"https://user@as.example/token":  false,
		"":                               false,
		"https://as.example/%74oken":     false,
	} {
		if got := sameTarget(htu, "https://as.example/token"); got != want {
			t.Errorf("%s: %v", htu, got)
		}
	}
}

func TestAllReasonsHaveANameInTheLog(t *testing.T) {
	for want, err := range map[string]error{
		"missing": dpopnonce.ErrMissing, "unknown": dpopnonce.ErrUnknown, "expired": dpopnonce.ErrExpired,
		"used": dpopnonce.ErrUsed, "not valid": dpopnonce.ErrRejected,
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestPreflightRequestsAreAnsweredBeforeTheGuard(t *testing.T) {
	c, s := start(t, dpophttp.SingleUse)
	before := counts(t, s)
	r := httptest.NewRequest("OPTIONS", c.tokenURL, nil)
	r.RequestURI = ""
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,dpop")
	response, _ := send(t, r)
	if response.StatusCode != 204 || response.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || counts(t, s) != before {
		t.Fatal(response.Status, response.Header)
	}
}
