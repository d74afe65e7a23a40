package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func singleUse(c *config) { c.policy = dpophttp.SingleUse }
func window(c *config)    { c.policy = dpophttp.Window }

// policies are both, by name.
var policies = map[string]func(*config){"single use": singleUse, "window": window}

// on returns the settings of a node on this PostgreSQL.
func on(dsn string) func(*config) { return func(c *config) { c.dsn = dsn } }

// A testClient is a client, and the log of its server.
type testClient struct {
	*client
	log *logged
}

// start runs the server, under window and on a new SQLite file if no setting says
// otherwise, and returns a client and the server's store.
func start(t *testing.T, settings ...func(*config)) (*testClient, *store) {
	t.Helper()
	c := config{
		addr: "127.0.0.1:0", file: filepath.Join(t.TempDir(), "authserver.db"), origin: "https://app.example",
		clientID: "demo", clientSecret: "demo-secret", redirectURI: "https://app.example/callback",
		ttl: time.Minute, policy: dpophttp.Window, proofs: true,
	}
	for _, set := range settings {
		set(&c)
	}
	lines := &logged{}
	log := slog.New(slog.NewTextHandler(lines, nil))
	ctx, stop := context.WithCancel(context.Background())
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serveAnd(ctx, c, log, func(ctx context.Context, issuer string) error {
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
		client.issuer, client.addr = issuer, lines.value("address")
		s, err := openStore(ctx, c, slog.New(slog.DiscardHandler)) // the server's database
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return &testClient{client, lines}, s
	}
	return nil, nil
}

// logged is the text that a server logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// value returns the first value that has this name.
func (l *logged) value(name string) string {
	_, rest, _ := strings.Cut(l.String(), " "+name+"=")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// last returns the last value that has this name.
func (l *logged) last(name string) string {
	text := l.String()
	value, _, _ := strings.Cut(text[strings.LastIndex(text, " "+name+"=")+len(name)+2:], "\n")
	return value
}

// schemaDSN returns the DSN of a new schema. Without a server it skips the test,
// or fails it in CI.
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

// counts returns the numbers of rows and of unused nonces.
func counts(t *testing.T, s *store) (n [2]int64) {
	t.Helper()
	for i, query := range []string{
		"SELECT count(*) FROM dpop_nonces", "SELECT count(*) FROM dpop_nonces WHERE used_at IS NULL",
	} {
		if err := s.db.Raw(query).Scan(&n[i]).Error; err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// pass sends a request to the resource, with one retry.
func (c *testClient) pass(t *testing.T) {
	t.Helper()
	for range 2 {
		if status, err := c.requestResource(t.Context(), c.nonce); err == nil && status == 200 {
			return
		}
	}
	t.Fatal("the resource refuses twice")
}

// authorize gives the client a nonce and a token.
func (c *testClient) authorize(t *testing.T) {
	t.Helper()
	for _, want := range []int{400, 200} {
		if status, err := c.requestToken(t.Context()); err != nil || status != want {
			t.Fatal(status, err)
		}
	}
}

func newRequest(t *testing.T, c *testClient, method, url, token string) *http.Request {
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

// setForm replaces the body of r.
func setForm(r *http.Request, form url.Values) {
	body := form.Encode()
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

func decode(t *testing.T, body string) (answer map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err, body)
	}
	return answer
}
