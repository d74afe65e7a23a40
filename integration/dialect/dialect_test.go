// Package dialect has a dialect that a user wrote.
package dialect

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// strict is SQLite with STRICT tables that have no rowid, written with nothing
// but the package's exported names.
type strict struct{}

var _ dialects.Dialect = strict{}

func (strict) Name() string { return "strict" }

func (strict) Instant(t time.Time) any { return t.Format("2006-01-02 15:04:05+00:00") }

func (strict) Isolation() sql.IsolationLevel { return sql.LevelDefault }

func (strict) Schema(t dialects.Table) []string {
	index := func(name string) string {
		return dialects.Table{Schema: t.Schema, Name: name}.Quoted("`") + " ON `" + t.Name + "`"
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + t.Quoted("`") + ` (
			id TEXT NOT NULL PRIMARY KEY,
			nonce TEXT NOT NULL CHECK (length(nonce) <= 255),
			issued_at TEXT NOT NULL, expires_at TEXT NOT NULL, used_at TEXT) STRICT, WITHOUT ROWID`,
		"CREATE UNIQUE INDEX IF NOT EXISTS " + index(t.NonceIndex()) + " (nonce)",
		"CREATE INDEX IF NOT EXISTS " + index(t.ExpiresAtIndex()) + " (expires_at)",
	}
}

func (strict) SQL(t dialects.Table) dialects.SQL {
	table := t.Quoted("`")
	return dialects.SQL{
		Insert: "INSERT INTO " + table + " (expires_at, issued_at, nonce, id)" +
			" VALUES (@expires_at, @issued_at, @nonce, @id) ON CONFLICT (nonce) DO NOTHING",
		Consume: "UPDATE " + table + " SET used_at = @now WHERE id IN (SELECT id FROM " + table + " WHERE nonce = @nonce COLLATE BINARY)" +
			" AND used_at IS NULL AND issued_at >= @oldest AND expires_at >= @next_second",
		Reason: "SELECT iif(used_at IS NULL AND expires_at < @next_second OR issued_at < @oldest AND used_at IS NULL," +
			" 'expired', 'used') FROM " + table + " WHERE nonce = @nonce COLLATE BINARY",
		Valid: "SELECT nonce FROM " + table + " WHERE nonce = @nonce COLLATE BINARY AND used_at IS NULL AND expires_at > @now" +
			" AND expires_at >= @next_second",
		Sweep: "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table + " WHERE expires_at < @now LIMIT @limit)",
	}
}

func (strict) Fault(err error) dialects.Fault {
	switch {
	case err == nil:
		return dialects.Other
	case strings.Contains(err.Error(), "is locked"):
		return dialects.Locked
	case strings.Contains(err.Error(), "does not match any PRIMARY KEY or UNIQUE"):
		return dialects.NoUniqueIndex
	}
	return dialects.Other
}

func TestADialectOfTheUsersPassesTheSuite(t *testing.T) {
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
		return dbtest.Open(tb, sqlite.Open("file:"+dbtest.SQLite(tb)+"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"))
	}, dpopnonce.WithDialect(strict{}))
}
