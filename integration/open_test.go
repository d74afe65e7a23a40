// Package integration shows the library inside applications whose drivers,
// pools and gorm.Config it did not choose. It has tests only.
package integration

import (
	"os"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

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

func mysqlDSN(t *testing.T) string { return dsn(t, "MYSQL_DSN") }

// dsn skips a test that has no server; in CI that is a failure.
func dsn(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" && os.Getenv("CI") == "true" {
		t.Fatal(name + " is not set")
	}
	if value == "" {
		t.Skip(name + " is not set: run scripts/with-databases go test ./...")
	}
	return value
}
