// Package dbtest opens the databases of the integration tests.
package dbtest

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Open opens a database and closes it when the test ends. It logs nothing unless
// config has a logger, because the suite provokes errors.
func Open(tb testing.TB, dialector gorm.Dialector, config ...*gorm.Config) *gorm.DB {
	tb.Helper()
	c := &gorm.Config{}
	if len(config) > 0 {
		c = config[0]
	}
	if c.Logger == nil {
		c.Logger = logger.Discard
	}
	db, err := gorm.Open(dialector, c)
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

// Postgres returns the DSN of PostgreSQL with additional parameters. It escapes
// spaces only, because the driver reads TimeZone from the unparsed text.
func Postgres(tb testing.TB, params ...string) string {
	tb.Helper()
	value := dsn(tb, "POSTGRES_DSN")
	for _, p := range params {
		value += "&" + strings.ReplaceAll(p, " ", "%20")
	}
	return value
}

// MySQL returns the DSN of MariaDB with parameters added or replaced.
func MySQL(tb testing.TB, params ...string) string {
	tb.Helper()
	base, old, _ := strings.Cut(dsn(tb, "MYSQL_DSN"), "?")
	query, err := url.ParseQuery(old)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		query.Set(name, value)
	}
	return base + "?" + query.Encode()
}

// SQLite returns the path of a new file.
func SQLite(tb testing.TB) string { return filepath.Join(tb.TempDir(), "nonces.db") }

// dsn skips the test if there is no server, or fails it in CI.
func dsn(tb testing.TB, name string) string {
	tb.Helper()
	value := os.Getenv(name)
	if value == "" && os.Getenv("CI") == "true" {
		tb.Fatal(name + " is not set")
	}
	if value == "" {
		tb.Skip(name + " is not set: run it under scripts/with-databases")
	}
	return value
}

// Repository returns a repository whose table it has migrated.
func Repository(tb testing.TB, db *gorm.DB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	tb.Helper()
	r, err := dpopnonce.NewRepository(db, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Name returns a name for a table or schema that no other test uses.
func Name(tb testing.TB) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToLower(tb.Name()))
	if len(name) > 59 {
		name = name[len(name)-59:]
	}
	return "t_" + name
}

// NewMySQL returns the DSN of a new database, for tests of the default table.
func NewMySQL(tb testing.TB) string {
	tb.Helper()
	value := MySQL(tb)
	server, rest, _ := strings.Cut(value, ")/")
	_, params, _ := strings.Cut(rest, "?")
	name := Name(tb)
	admin := Open(tb, mysql.Open(value))
	if err := admin.Exec("CREATE DATABASE " + name).Error; err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { admin.Exec("DROP DATABASE " + name) })
	return server + ")/" + name + "?" + params
}

// NewPostgres returns the DSN of a new schema, for tests of the default table.
func NewPostgres(tb testing.TB) string {
	tb.Helper()
	name := Name(tb)
	admin := Open(tb, postgres.Open(Postgres(tb)))
	if err := admin.Exec("CREATE SCHEMA " + name).Error; err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { admin.Exec("DROP SCHEMA " + name + " CASCADE") })
	return Postgres(tb, "search_path="+name)
}
