// Package ecto runs the suite on the table that the generator of attesto_phoenix
// creates.
package ecto

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"github.com/google/uuid"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// generated is PostgreSQL with the generator's columns and indexes.
type generated struct {
	dialects.Dialect
	unusedIndex string
}

func (g generated) SQL() dialects.SQL {
	s := g.Dialect.SQL()
	s.Schema = []string{`
		CREATE TABLE IF NOT EXISTS {table} (
			id uuid NOT NULL, nonce varchar(255) NOT NULL,
			issued_at timestamp(0) NOT NULL, expires_at timestamp(0) NOT NULL, used_at timestamp(0),
			PRIMARY KEY (id)
		)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS {nonce_index} ON {table} (nonce)`,
		`CREATE INDEX IF NOT EXISTS ` + g.unusedIndex + ` ON {table} (used_at) WHERE used_at IS NULL`,
	}
	return s
}

// freeName is the name of an index that the generator does not create. The index
// of unused rows can have it on the tables of the suite.
const freeName = "{expires_at_index}"

func TestConformance(t *testing.T) {
	for zone, simple := range map[string]bool{"UTC": true, "America/New_York": false} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return dbtest.Open(tb, postgres.New(postgres.Config{
					DSN: dbtest.Postgres(tb, "TimeZone="+zone), PreferSimpleProtocol: simple}))
			}, dpopnonce.WithDialect(generated{dialects.Postgres(), freeName}))
		})
	}
}

// Ecto stores the wall clock of UTC without a zone.
const ectoLayout = "2006-01-02 15:04:05"

func TestRowsOfBothStoresAgree(t *testing.T) {
	db, issued := open(t), time.Date(2026, 3, 29, 0, 59, 30, 0, time.UTC)
	now := issued.Add(time.Second / 3).In(time.FixedZone("", 9*3600))
	r := repository(t, db, &now)
	ctx := t.Context()

	store(t, db, "of-ecto", issued, issued.Add(time.Minute))
	now = issued.Add(time.Minute)
	if err := r.Consume(ctx, "of-ecto", time.Hour); err != dpopnonce.ErrExpired {
		t.Fatalf("at expires_at: got %v", err)
	}
	now = issued.Add(time.Minute - time.Second/2)
	if err := r.Consume(ctx, "of-ecto", 58*time.Second); err != dpopnonce.ErrExpired {
		t.Fatalf("older than the ttl: got %v", err)
	}
	if err := r.Consume(ctx, "of-ecto", time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := column(t, db, "used_at", "of-ecto"); got != issued.Add(59*time.Second).Format(ectoLayout) {
		t.Errorf("used_at %q", got)
	}

	now = issued.Add(time.Second / 3).In(time.FixedZone("", 9*3600))
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"issued_at": issued.Format(ectoLayout), "expires_at": issued.Add(time.Minute).Format(ectoLayout), "used_at": "",
	} {
		if got := column(t, db, name, nonce); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	if got := column(t, db, "id", nonce); !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(got) {
		t.Errorf("id %q", got)
	}
	// The statement of an Ecto node.
	done := db.Exec("UPDATE dpop_nonces SET used_at = '" + issued.Format(ectoLayout) + "' WHERE nonce = '" + nonce +
		"' AND used_at IS NULL AND issued_at >= '" + issued.Add(-time.Minute).Format(ectoLayout) + "'")
	if done.Error != nil || done.RowsAffected != 1 {
		t.Fatalf("Ecto's accept: %d rows, %v", done.RowsAffected, done.Error)
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != dpopnonce.ErrUsed {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyMigrateSendsDDL(t *testing.T) {
	db := open(t)
	now := time.Now()
	r := repository(t, db, &now)
	before := indexes(t, db)
	var ddl []string
	err := db.Callback().Raw().Before("gorm:raw").Register("test:ddl", func(tx *gorm.DB) {
		if sql := strings.TrimSpace(tx.Statement.SQL.String()); regexp.MustCompile(`^(?i)(CREATE|ALTER|DROP)`).MatchString(sql) {
			ddl = append(ddl, sql)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if deleted, err := r.Sweep(ctx); deleted != 2 || err != nil {
		t.Fatal(deleted, err)
	}
	if len(ddl) > 0 || indexes(t, db) != before {
		t.Errorf("sent DDL %q", ddl)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if got := indexes(t, db); got != "dpop_nonces_expires_at_index "+before {
		t.Errorf("after Migrate: %s", got)
	}
}

// open opens a new schema with the generator's table.
func open(t *testing.T) *gorm.DB {
	t.Helper()
	admin := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
	name := dbtest.Name(t)
	if err := admin.Exec("CREATE SCHEMA " + name).Error; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Exec("DROP SCHEMA " + name + " CASCADE") })
	db := dbtest.Open(t, postgres.Open(dbtest.Postgres(t, "search_path="+name)))
	statements, err := dialects.Statements(generated{dialects.Postgres(), "dpop_nonces_unused_index"}, dialects.Table{Name: "dpop_nonces"})
	if err != nil {
		t.Fatal(err)
	}
	for _, ddl := range statements.Schema {
		if err := db.Exec(ddl).Error; err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func repository(t *testing.T, db *gorm.DB, now *time.Time) *dpopnonce.Repository {
	t.Helper()
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithClock(func() time.Time { return *now }))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func store(t *testing.T, db *gorm.DB, nonce string, issued, expires time.Time) {
	t.Helper()
	err := db.Exec("INSERT INTO dpop_nonces (id, nonce, issued_at, expires_at) VALUES ('" + uuid.NewString() + "', '" +
		nonce + "', '" + issued.Format(ectoLayout) + "', '" + expires.Format(ectoLayout) + "')").Error
	if err != nil {
		t.Fatal(err)
	}
}

func column(t *testing.T, db *gorm.DB, name, nonce string) (value string) {
	t.Helper()
	err := db.Raw("SELECT coalesce("+name+"::text, '') FROM dpop_nonces WHERE nonce = ?", nonce).Row().Scan(&value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func indexes(t *testing.T, db *gorm.DB) (names string) {
	t.Helper()
	err := db.Raw("SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes" +
		" WHERE schemaname = current_schema() AND tablename = 'dpop_nonces'").Row().Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
