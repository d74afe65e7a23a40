package dialects

import (
	"database/sql"
	"strings"
	"time"
)

// SQLite returns the dialect of SQLite 3.24 and later.
func SQLite() Dialect { return sqlite{} }

type sqlite struct{}

var _ Dialect = sqlite{}

func (sqlite) Name() string { return "sqlite" }

// Instant binds text, because SQLite compares instants as text: always in UTC,
// in the form in which the drivers store a whole UTC second.
func (sqlite) Instant(t time.Time) any { return t.Format("2006-01-02 15:04:05+00:00") }

// Schema has the types of AutoMigrate, from whose names the drivers tell which
// text to scan as a time. An index lives in the schema that its own name says.
func (sqlite) Schema(t Table) []string {
	index := func(name string) string {
		return Table{t.Schema, name}.Quoted(`"`) + ` ON "` + t.Name + `"`
	}
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + t.Quoted(`"`) + ` (
  id uuid NOT NULL PRIMARY KEY,
  nonce varchar(255) NOT NULL,
  issued_at datetime NOT NULL,
  expires_at datetime NOT NULL,
  used_at datetime
)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS ` + index(t.NonceIndex()) + ` (nonce)`,
		`CREATE INDEX IF NOT EXISTS ` + index(t.ExpiresAtIndex()) + ` (expires_at)`,
	}
}

func (sqlite) SQL(t Table) SQL {
	table := t.Quoted(`"`)
	// The collation costs nothing where it is the column's own, as it is unless
	// somebody declared another.
	s := portable(table, `nonce = @nonce COLLATE BINARY`)
	s.Insert = `INSERT INTO ` + table + newRow + ` ON CONFLICT (nonce) DO NOTHING`
	s.Sweep = `DELETE FROM ` + table + ` WHERE id IN (SELECT id FROM ` + table +
		` WHERE expires_at < @now ORDER BY expires_at LIMIT @limit)`
	s.Serial = true
	// Needs SQLite 3.35, for RETURNING.
	s.ConsumeAll = `UPDATE ` + table + ` SET used_at = @now WHERE nonce COLLATE BINARY IN @nonces AND used_at IS NULL AND ` +
		fresh + ` RETURNING nonce, id`
	s.ReasonAll = reasonAll(table, `IN @nonces`)
	s.InsertAll = `INSERT INTO ` + table + columns + `VALUES @next_rows ON CONFLICT (nonce) DO NOTHING`
	return s
}

// Isolation is the only one there is: writers take turns.
func (sqlite) Isolation() sql.IsolationLevel { return sql.LevelDefault }

// Fault reads messages: they are SQLite's own, and the drivers share no type.
func (sqlite) Fault(err error) Fault {
	if err == nil {
		return Other
	}
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("database is locked"), has("database table is locked"),
		has("database schema is locked"), has("locking protocol"):
		return Locked
	case has("ON CONFLICT clause does not match"):
		return NoUniqueIndex
	case has("already exists"):
		return Exists
	}
	return Other
}
