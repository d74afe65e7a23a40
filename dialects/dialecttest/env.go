package dialecttest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var ctx = context.Background()

// noon is when every case begins.
var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// env is what a case works with: a database, a new table in it, a repository
// on that table and the repository's clock.
type env struct {
	*dpopnonce.Repository
	db    *gorm.DB
	has   features
	table string
	clock *clock
	opts  []dpopnonce.Option
}

func newEnv(t *testing.T, has features, db *gorm.DB, opts []dpopnonce.Option) *env {
	e := &env{db: db, has: has, clock: &clock{now: noon}, opts: opts}
	e.table = newName()
	e.Repository = e.repository(t, db)
	migrate(t, e.Repository)
	e.dropLater(t, e.table)
	return e
}

// newName returns a name that no other table has.
func newName() string {
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err)
	}
	return "dpop_nonces_" + hex.EncodeToString(random[:])
}

// repository returns one more on the case's table, or as opts have it.
func (e *env) repository(t testing.TB, db *gorm.DB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	t.Helper()
	all := append([]dpopnonce.Option(nil), e.opts...)
	all = append(all, dpopnonce.WithTable(e.table), dpopnonce.WithClock(e.clock.Now))
	r, err := dpopnonce.NewRepository(db, append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func migrate(t testing.TB, r *dpopnonce.Repository) {
	t.Helper()
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
}

func (e *env) dropLater(t *testing.T, table string) {
	t.Cleanup(func() {
		if err := e.exec("DROP TABLE IF EXISTS ?", clause.Table{Name: table}); err != nil {
			t.Error(err)
		}
	})
}

// exec and count run plain SQL, which an application's callbacks leave alone.
func (e *env) exec(sql string, values ...any) error {
	return e.db.Session(&gorm.Session{NewDB: true}).Exec(sql, values...).Error
}

func (e *env) count(t testing.TB, where string, values ...any) (n int) {
	t.Helper()
	values = append([]any{clause.Table{Name: e.table}}, values...)
	db := e.db.Session(&gorm.Session{NewDB: true})
	if err := db.Raw("SELECT count(*) FROM ? WHERE "+where, values...).Row().Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (e *env) used(t testing.TB, nonce string) bool {
	t.Helper()
	return e.count(t, "nonce = ? AND used_at IS NOT NULL", nonce) > 0
}

// issue stores a new nonce that is good for ttl.
func (e *env) issue(t testing.TB, ttl time.Duration) string {
	t.Helper()
	nonce, err := e.Issue(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

// store inserts a nonce with instants of the case's choice.
func (e *env) store(t testing.TB, nonce string, issued, expires time.Time) {
	t.Helper()
	if _, err := e.Insert(ctx, changeset(nonce, issued, expires)); err != nil {
		t.Fatal(err)
	}
}

func changeset(nonce string, issued, expires time.Time) dpopnonce.Changeset {
	return dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: nonce, IssuedAt: issued, ExpiresAt: expires})
}

// consume spends nonce with a ttl so long that expires_at decides.
func (e *env) consume(nonce string) error { return e.Consume(ctx, nonce, 24*time.Hour) }

// clock is set by the case, in place of waiting.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// wantIs fails unless err is want; a nil want wants no error.
func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// wantFailure fails unless err is a failure of the server.
func wantFailure(t testing.TB, err error) {
	t.Helper()
	if err == nil || errors.Is(err, dpopnonce.ErrRejected) {
		t.Fatalf("got %v, want a failure that is no rejection", err)
	}
}

// watch calls fn before each statement of db that gorm runs, until the case
// ends: raw ones and those that return rows.
func watch(t *testing.T, db *gorm.DB, fn func(*gorm.DB)) {
	t.Helper()
	name := "dialecttest:" + newName()
	for _, p := range []interface {
		Remove(string) error
	}{db.Callback().Raw(), db.Callback().Row()} {
		p := p
		t.Cleanup(func() {
			if err := p.Remove(name); err != nil {
				t.Error(err)
			}
		})
	}
	err := db.Callback().Raw().Before("gorm:raw").Register(name, fn)
	if err == nil {
		err = db.Callback().Row().Before("gorm:row").Register(name, fn)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// statements collects the SQL of db, in order.
func statements(t *testing.T, db *gorm.DB) func() []string {
	var mu sync.Mutex
	var all []string
	watch(t, db, func(tx *gorm.DB) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, tx.Statement.SQL.String())
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		taken := all
		all = nil
		return taken
	}
}
