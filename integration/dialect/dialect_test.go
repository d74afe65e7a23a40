// Package dialect runs the suite with a dialect that is written outside of the
// library.
package dialect

import (
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

// strict is SQLite with STRICT tables without rowid. It uses exported names only.
type strict struct{}

var _ dialects.Dialect = strict{}

func (strict) Name() string { return "strict" }

func (strict) Instant(t time.Time) any { return t.Format("2006-01-02 15:04:05+00:00") }

func (strict) SQL() dialects.SQL {
	return dialects.SQL{
		Schema: []string{`
			CREATE TABLE IF NOT EXISTS {table} (
				id TEXT NOT NULL PRIMARY KEY,
				nonce TEXT NOT NULL CHECK (length(nonce) <= 255),
				issued_at TEXT NOT NULL, expires_at TEXT NOT NULL, used_at TEXT
			) STRICT, WITHOUT ROWID`,
			`CREATE UNIQUE INDEX IF NOT EXISTS {schema}{nonce_index} ON {name} (nonce)`,
			`CREATE INDEX IF NOT EXISTS {schema}{expires_at_index} ON {name} (expires_at)`,
		},
		Insert: `
			INSERT INTO {table} (used_at, expires_at, issued_at, nonce, id)
			VALUES (@used_at, @expires_at, @issued_at, @nonce, @id) ON CONFLICT (nonce) DO NOTHING`,
		Consume: `
			UPDATE {table} SET used_at = @now
			WHERE nonce = @nonce COLLATE BINARY AND used_at IS NULL AND {fresh}`,
		Verdict: `SELECT used_at IS NOT NULL, {fresh}, id FROM {table} WHERE nonce = @nonce COLLATE BINARY`,
		Sweep:   `DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE expires_at < @now LIMIT @limit)`,
		SweepLag: `
			SELECT strftime('%s', @now) - strftime('%s', expires_at) FROM {table}
			WHERE expires_at < @now ORDER BY expires_at LIMIT 1`,
	}
}

func (strict) Fault(err error) (dialects.Fault, string) {
	switch {
	case strings.Contains(err.Error(), "is locked"):
		return dialects.Locked, ""
	case strings.Contains(err.Error(), "does not match any PRIMARY KEY or UNIQUE"):
		return dialects.NoUniqueIndex, ""
	}
	return dialects.Other, ""
}

func TestUserDialectPassesSuite(t *testing.T) {
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
		return dbtest.Open(tb, sqlite.Open("file:"+dbtest.SQLite(tb)+"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"))
	}, dpopnonce.WithDialect(strict{}))
}
