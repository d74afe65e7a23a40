package dpopnonce_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, openSQLite)
}

func TestSQLiteWithGroupCommit(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, openSQLite, dpopnonce.WithGroupCommit())
}

func TestPostgres(t *testing.T) { onEveryLevel(t) }

func TestPostgresWithGroupCommit(t *testing.T) { onEveryLevel(t, dpopnonce.WithGroupCommit()) }

func onEveryLevel(t *testing.T, opts ...dpopnonce.Option) {
	t.Parallel()
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		level := level
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			dsn := postgresDSN(t)
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				db := open(tb, postgres.Open(dsn+"&default_transaction_isolation="+strings.ReplaceAll(level, " ", "%20")))
				var got string
				if err := db.Raw("SHOW transaction_isolation").Row().Scan(&got); err != nil || got != level {
					tb.Fatalf("at %q, %v", got, err)
				}
				return db
			}, opts...)
		})
	}
}

func openSQLite(tb testing.TB) *gorm.DB {
	return open(tb, sqlite.Open("file:"+filepath.Join(tb.TempDir(), "nonces.db")+
		"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"))
}

// open opens a database without a log: the cases provoke errors.
func open(tb testing.TB, dialector gorm.Dialector) *gorm.DB {
	tb.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	return db
}

// postgresDSN skips a test that has no server; in CI that is a failure.
func postgresDSN(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("POSTGRES_DSN")
	if dsn == "" && os.Getenv("CI") == "true" {
		t.Fatal("POSTGRES_DSN is not set")
	}
	if dsn == "" {
		t.Skip("POSTGRES_DSN is not set: run scripts/with-databases go test ./...")
	}
	return dsn
}
