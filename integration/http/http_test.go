// Package http runs handlers of other libraries on real servers, bare and behind
// a Guard: what works bare has to work behind it.
package http

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/gin-gonic/gin"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// A site is a server with one handler.
type site struct {
	*httptest.Server
	nonces *dpopnonce.Repository // nil if the handler is bare
}

// onEachSite runs test for handler, bare and behind a Guard, over the protocols
// 1 and 2, or those that are given.
func onEachSite(t *testing.T, handler http.Handler, test func(*testing.T, site), protocols ...int) {
	if len(protocols) == 0 {
		protocols = []int{1, 2}
	}
	for _, protocol := range protocols {
		name := map[int]string{1: "HTTP 1.1", 2: "HTTP 2"}[protocol]
		t.Run(name+" bare", func(t *testing.T) { test(t, serve(t, protocol, handler, nil)) })
		t.Run(name+" guarded", func(t *testing.T) {
			nonces := newNonces(t)
			guard := &dpophttp.Guard{
				Nonces: nonces,
				Proof: func(r *http.Request) (dpophttp.Proof, bool) {
					return dpophttp.Proof{Nonce: r.Header.Get("Claim")}, true
				},
			}
			test(t, serve(t, protocol, guard.ResourceServer(handler), nonces))
		})
	}
}

func serve(t *testing.T, protocol int, handler http.Handler, nonces *dpopnonce.Repository) site {
	server := httptest.NewUnstartedServer(handler)
	if protocol == 2 {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return site{server, nonces}
}

func newNonces(t *testing.T) *dpopnonce.Repository {
	t.Helper()
	db, err := gorm.Open(sqlite.Open("file:"+filepath.Join(t.TempDir(), "nonces.db")+
		"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	nonces, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := nonces.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return nonces
}

// claim returns a nonce that the site accepts.
func (s site) claim(t *testing.T) string {
	t.Helper()
	if s.nonces == nil {
		return ""
	}
	nonce, err := s.nonces.Issue(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

// get sends an accepted request and returns the response, whose body the test
// reads.
func (s site) get(t *testing.T, ctx context.Context, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Claim", s.claim(t))
	return s.do(t, r)
}

func (s site) do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	s.wantOneNonce(t, response)
	return response
}

func (s site) wantOneNonce(t *testing.T, response *http.Response) {
	t.Helper()
	if got := response.Header.Values("DPoP-Nonce"); s.nonces != nil && (len(got) != 1 || len(got[0]) < 40) {
		t.Fatalf("%s, nonces %q", response.Status, got)
	}
}
