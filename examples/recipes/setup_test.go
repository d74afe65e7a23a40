package recipes

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-jose/go-jose/v4"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// A site is an application with a database and a Guard, and a client's key.
type site struct {
	app   *Application
	db    *gorm.DB
	guard *dpophttp.Guard
	key   *ecdsa.PrivateKey
}

// token is bound to the key of a site's client, bearerToken to none.
const token, bearerToken = "alices-token", "bobs-token"

func newSite(t *testing.T, newGuard func(context.Context, *gorm.DB, dpopnonce.Key) (*dpophttp.Guard, error)) *site {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recipes.db")
	db, err := gorm.Open(sqlite.Open("file:"+file+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"),
		&gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	guard, err := newGuard(t.Context(), db, dpopnonce.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]Token{
		token:       {Subject: "alice", Thumbprint: base64.RawURLEncoding.EncodeToString(sum)},
		bearerToken: {Subject: "bob"},
	}
	app := &Application{Tokens: func(text string) (Token, bool) { found, ok := tokens[text]; return found, ok }}
	return &site{app, db, guard, key}
}

// serve starts a server on loopback whose handler knows its own URL.
func (s *site) serve(t *testing.T, handler func() http.Handler) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	s.app.Origin = "http://" + server.Listener.Addr().String()
	server.Config.Handler = handler()
	server.Start()
	t.Cleanup(server.Close)
}

// rows counts the spent proofs and nonces.
func (s *site) rows(t *testing.T, table string) (n int64) {
	t.Helper()
	if err := s.db.Table(table).Count(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// proveFor makes a DPoP proof (RFC 9449 section 4.2). A nonce or token of "" is
// left out; age is how old the proof is by its iat.
func proveFor(t *testing.T, key *ecdsa.PrivateKey, method, url, token, nonce string, age time.Duration) string {
	t.Helper()
	claims, err := json.Marshal(proofClaims(method, url, token, nonce, age))
	if err != nil {
		t.Fatal(err)
	}
	return signProof(t, key, string(claims))
}

func proofClaims(method, url, token, nonce string, age time.Duration) map[string]any {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Add(-age).Unix()}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return claims
}

func signProof(t *testing.T, key *ecdsa.PrivateKey, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// An answer is what a client learns of any transport.
type answer struct {
	status int // of HTTP
	code   string
	nonce  string
	text   string
}

// send sends a request with lines of Authorization and DPoP.
func send(t *testing.T, method, url, authorization string, proofs ...string) (answer, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Header["Dpop"] = proofs
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, response.Body); err != nil {
		t.Fatal(err)
	}
	var body struct{ Error string }
	_ = json.Unmarshal([]byte(text.String()), &body)
	return answer{response.StatusCode, body.Error, response.Header.Get("DPoP-Nonce"), text.String()}, response.Header
}
