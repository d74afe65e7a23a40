package main

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// start runs the server on SQLite and returns a client and the server's store.
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
		s, err := openStore(ctx, c, slog.New(slog.DiscardHandler)) // the server's database
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return client, s
	}
	return nil, nil
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

// counts returns the numbers of nonces and of unused nonces, for both tables.
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
