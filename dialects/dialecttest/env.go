package dialecttest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var ctx = context.Background()

// noon is the time at which every case begins.
var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// An env is what a case works with: a database, a new table in it, a
// repository on that table, and the repository's clock.
type env struct {
	*dpopnonce.Repository
	database
	db    *gorm.DB
	table string
	clock *clock
	opts  []dpopnonce.Option
}

func newEnv(t *testing.T, d database, db *gorm.DB, opts []dpopnonce.Option) *env {
	t.Helper()
	e := &env{database: d, db: db, table: newName(), clock: &clock{now: noon}, opts: opts}
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

// repository returns another repository, on the case's table unless opts name
// a different one.
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

// nodes are repositories of other processes, as it were: in one, those that
// present a nonce go to the database one after the other.
func (e *env) nodes(t testing.TB, opts ...dpopnonce.Option) []*dpopnonce.Repository {
	t.Helper()
	all := make([]*dpopnonce.Repository, 8)
	for i := range all {
		all[i] = e.repository(t, e.db, opts...)
	}
	return all
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

// dropNonceIndex leaves the case's table without its unique index.
func (e *env) dropNonceIndex(t *testing.T) {
	t.Helper()
	drop := "DROP INDEX " + e.nonceIndex()
	if e.dropIndex != "" {
		drop = fmt.Sprintf(e.dropIndex, e.nonceIndex(), e.table)
	}
	wantIs(t, e.exec(drop), nil)
}

func (e *env) nonceIndex() string { return e.table + "_nonce_index" }

// exec and count run plain SQL, which an application's callbacks do not change.
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

func (e *env) rows(t testing.TB) int {
	t.Helper()
	return e.count(t, "1 = 1")
}

func (e *env) used(t testing.TB, nonce string) bool {
	t.Helper()
	return e.count(t, "nonce = ? AND used_at IS NOT NULL", nonce) > 0
}

// issue stores a new nonce that lives for ttl.
func (e *env) issue(t testing.TB, ttl time.Duration) string {
	t.Helper()
	nonce, err := e.Issue(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

func (e *env) issueMany(t testing.TB, n int, ttl time.Duration) []string {
	t.Helper()
	nonces := make([]string, n)
	for i := range nonces {
		nonces[i] = e.issue(t, ttl)
	}
	return nonces
}

// store inserts a nonce with the given instants.
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

// longTTL is so long that expires_at decides.
const longTTL = 24 * time.Hour

func (e *env) consume(nonce string) error { return e.Consume(ctx, nonce, longTTL) }

func (e *env) check(nonce string) error { return e.Check(ctx, nonce, longTTL) }

// hold locks the row of nonce in a transaction of its own, and nothing else:
// at REPEATABLE READ, MariaDB would also lock the gap before the row.
func (e *env) hold(t *testing.T, nonce string) *gorm.DB {
	t.Helper()
	tx := e.db.Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	wantIs(t, tx.Error, nil)
	t.Cleanup(func() { tx.Rollback() })
	wantIs(t, tx.Exec("SELECT id FROM "+e.table+" WHERE nonce = ? FOR UPDATE", nonce).Error, nil)
	return tx
}

// A clock shows the time that the case sets, so that no case waits.
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
