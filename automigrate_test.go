package dpopnonce_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// ectoTable is what the generator of attesto_phoenix runs on PostgreSQL.
var ectoTable = []string{
	`CREATE TABLE dpop_nonces (
		id uuid NOT NULL, nonce varchar(255) NOT NULL,
		issued_at timestamp(0) NOT NULL, expires_at timestamp(0) NOT NULL, used_at timestamp(0),
		PRIMARY KEY (id))`,
	`CREATE UNIQUE INDEX dpop_nonces_nonce_index ON dpop_nonces (nonce)`,
	`CREATE INDEX dpop_nonces_unused_index ON dpop_nonces (used_at) WHERE used_at IS NULL`,
}

func TestAutoMigrateCreatesAUsableTable(t *testing.T) {
	onBoth(t, func(t *testing.T, db *gorm.DB) {
		autoMigrate(t, db)
		exercise(t, db)
	})
}

func TestAutoMigrateAltersNothing(t *testing.T) {
	for name, create := range map[string]func(*testing.T, *gorm.DB){
		"of its own": func(t *testing.T, db *gorm.DB) { autoMigrate(t, db) },
		"of Migrate": func(t *testing.T, db *gorm.DB) { migrate(t, db) },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *gorm.DB) {
				create(t, db)
				wantNoDDL(t, db, func() { autoMigrate(t, db) })
				wantNoDDL(t, db, func() { migrate(t, db) })
				exercise(t, db)
			})
		})
	}
}

func TestEctoTableIsUsedUnchanged(t *testing.T) {
	db := openSchema(t)
	for _, ddl := range ectoTable {
		if err := db.Exec(ddl).Error; err != nil {
			t.Fatal(err)
		}
	}
	wantNoDDL(t, db, func() { exercise(t, db) })
	for _, ddl := range statementsOf(t, db, func() { autoMigrate(t, db) }) {
		if strings.HasPrefix(ddl, "ALTER") || strings.HasPrefix(ddl, "DROP") {
			t.Errorf("AutoMigrate sent %s", ddl)
		}
	}
	wantNoDDL(t, db, func() { autoMigrate(t, db); migrate(t, db) })
	exercise(t, db)
}

// exercise does with the default table what an application does.
func exercise(t *testing.T, db *gorm.DB) {
	t.Helper()
	ctx := context.Background()
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	next, err := r.Rotate(ctx, nonce, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != dpopnonce.ErrUsed {
		t.Fatalf("got %v", err)
	}
	row := dpopnonce.DPoPNonce{Nonce: next + "-created", IssuedAt: time.Now().In(tokyo), ExpiresAt: time.Now().Add(time.Minute).In(tokyo)}
	if err := db.Create(&row).Error; err != nil {
		t.Fatal(err)
	}
	for _, nonce := range []string{next, row.Nonce} {
		if err := r.Consume(ctx, nonce, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	var stored dpopnonce.DPoPNonce
	if err := db.First(&stored, "nonce = ?", row.Nonce).Error; err != nil {
		t.Fatal(err)
	}
	if stored.ID != row.ID || row.ID.Version() != 7 || stored.UsedAt == nil ||
		!stored.ExpiresAt.Equal(row.ExpiresAt) || stored.ExpiresAt.Nanosecond() != 0 {
		t.Fatalf("stored %+v, created %+v", stored, row)
	}
}

func autoMigrate(t *testing.T, db *gorm.DB) {
	t.Helper()
	if err := db.AutoMigrate(&dpopnonce.DPoPNonce{}); err != nil {
		t.Fatal(err)
	}
}

// migrate creates the table, and returns a repository on it.
func migrate(t *testing.T, db *gorm.DB) *dpopnonce.Repository {
	t.Helper()
	r := withOptions(t, db)
	if err := r.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantNoDDL(t *testing.T, db *gorm.DB, fn func()) {
	t.Helper()
	for _, sql := range statementsOf(t, db, fn) {
		for _, ddl := range []string{"ALTER", "CREATE", "DROP"} {
			if strings.HasPrefix(sql, ddl) {
				t.Errorf("sent %s", sql)
			}
		}
	}
}

func statementsOf(t *testing.T, db *gorm.DB, fn func()) (all []string) {
	t.Helper()
	raw := db.Callback().Raw()
	if err := raw.Before("gorm:raw").Register("test:collect", func(tx *gorm.DB) {
		all = append(all, strings.TrimSpace(tx.Statement.SQL.String()))
	}); err != nil {
		t.Fatal(err)
	}
	fn()
	if err := raw.Remove("test:collect"); err != nil {
		t.Fatal(err)
	}
	return all
}

// onBoth runs fn on empty databases.
func onBoth(t *testing.T, fn func(*testing.T, *gorm.DB)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, openSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, openSchema(t)) })
}

// openSchema opens PostgreSQL with a new schema for the default table.
func openSchema(t *testing.T) *gorm.DB {
	t.Helper()
	dsn := postgresDSN(t)
	admin := open(t, postgres.Open(dsn))
	name := "test_" + strings.ToLower(strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))
	if err := admin.Exec("CREATE SCHEMA " + name).Error; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Exec("DROP SCHEMA " + name + " CASCADE") })
	return open(t, postgres.Open(dsn+"&search_path="+name))
}
