package dpophttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// A fixture is a Guard, its handler, and what both were called with.
type fixture struct {
	guard    *dpophttp.Guard
	handler  http.Handler
	store    *store
	passed   int     // requests that reached the guarded handler
	rejected []error // of OnReject
	failed   []error // of OnError
}

// A store is a repository on SQLite whose clock and failures the test sets.
type store struct {
	*dpopnonce.Repository
	db    *gorm.DB
	clock time.Time
	down  error // if not nil, the result of every call
	calls atomic.Int64
}

func (s *store) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	if s.calls.Add(1); s.down != nil {
		return "", s.down
	}
	return s.Repository.Issue(ctx, ttl)
}

func (s *store) Check(ctx context.Context, nonce string, ttl time.Duration) error {
	if s.calls.Add(1); s.down != nil {
		return s.down
	}
	return s.Repository.Check(ctx, nonce, ttl)
}

func (s *store) Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error) {
	if s.calls.Add(1); s.down != nil {
		return "", s.down
	}
	return s.Repository.Rotate(ctx, nonce, ttl)
}

func (s *store) Spend(ctx context.Context, id string, until time.Time) error {
	if s.calls.Add(1); s.down != nil {
		return s.down
	}
	return s.Repository.Spend(ctx, id, until)
}

func newStore(t *testing.T) *store {
	t.Helper()
	db, err := gorm.Open(sqlite.Open("file:"+filepath.Join(t.TempDir(), "nonces.db")+
		"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	s := &store{db: db, clock: noon}
	if s.Repository, err = dpopnonce.NewRepository(db, dpopnonce.WithClock(func() time.Time { return s.clock })); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) rows(t *testing.T, where string) (n int64) {
	t.Helper()
	if err := s.db.Model(&dpopnonce.DPoPNonce{}).Where(where).Count(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

// kind is a policy, with what Window needs for it.
type kind int

const (
	singleUse  kind = iota
	window          // the application refuses a proof that it has seen
	windowOnce      // with Proofs
)

func (k kind) String() string { return [...]string{"SingleUse", "Window", "Window with Proofs"}[k] }

// onEachRole runs a test for both roles and all kinds.
func onEachRole(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, wrap := range map[string]func(*dpophttp.Guard, http.Handler) http.Handler{
		"authorization server": (*dpophttp.Guard).AuthorizationServer,
		"resource server":      (*dpophttp.Guard).ResourceServer,
	} {
		wrap := wrap
		for _, kind := range []kind{singleUse, window, windowOnce} {
			kind := kind
			t.Run(name+"/"+kind.String(), func(t *testing.T) { test(t, newFixture(t, kind, wrap)) })
		}
	}
}

func newFixture(t *testing.T, kind kind, wrap func(*dpophttp.Guard, http.Handler) http.Handler) *fixture {
	t.Helper()
	f := &fixture{store: newStore(t)}
	f.guard = &dpophttp.Guard{
		Nonces: f.store, Proof: proof, Algs: "ES256 EdDSA", ProofsElsewhere: true,
		Clock:    func() time.Time { return f.store.clock },
		OnReject: func(_ *http.Request, err error) { f.rejected = append(f.rejected, err) },
		OnError:  func(_ *http.Request, err error) { f.failed = append(f.failed, err) },
	}
	if kind != singleUse {
		f.guard.Policy = dpophttp.Window
	}
	if kind == windowOnce {
		f.guard.Proofs = f.store
	}
	f.handler = wrap(f.guard, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.passed++
		_, _ = w.Write([]byte("passed"))
	}))
	return f
}

// proof is the Proof of an application that has verified the proof.
func proof(r *http.Request) (dpophttp.Proof, bool) {
	return dpophttp.Proof{Nonce: r.Header.Get("Claim"), ID: r.Header.Get("Id")}, r.Header.Get("Unverified") == ""
}

var lastID atomic.Int64

// request returns a request with a verified proof.
func request(nonce string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Claim", nonce)
	r.Header.Set("Id", strconv.FormatInt(lastID.Add(1), 10))
	return r
}

func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// challenge returns the nonce of a challenge.
func (f *fixture) challenge(t *testing.T) string {
	t.Helper()
	nonce := f.do(request("")).Header().Get("DPoP-Nonce")
	if nonce == "" {
		t.Fatal("challenge without a nonce")
	}
	f.rejected = nil
	return nonce
}

// rejections returns nonces that are rejected, each with the reason.
func (f *fixture) rejections(t *testing.T) map[string]error {
	t.Helper()
	all := map[string]error{
		"":                          dpopnonce.ErrMissing,
		"never-issued":              dpopnonce.ErrUnknown,
		"not a nonce":               dpopnonce.ErrUnknown,
		string(make([]byte, 1<<20)): dpopnonce.ErrUnknown,
	}
	ctx := context.Background()
	used, err := f.store.Repository.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Consume(ctx, used, time.Minute); err != nil {
		t.Fatal(err)
	}
	all[used] = dpopnonce.ErrUsed
	expired, err := f.store.Repository.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	f.store.clock = f.store.clock.Add(time.Minute)
	all[expired] = dpopnonce.ErrExpired
	return all
}
