package dialects

import (
	"errors"
	"strings"
	"time"
)

// SQLite returns the dialect of SQLite 3.24 and later; group commit needs 3.35.
func SQLite() Dialect { return sqlite{} }

type sqlite struct{}

var _ Dialect = sqlite{}

func (sqlite) Name() string { return "sqlite" }

// Instant binds text, because SQLite compares instants as text: always in UTC,
// in the form in which the drivers store a whole UTC second.
func (sqlite) Instant(t time.Time) any { return t.Format("2006-01-02 15:04:05+00:00") }

func (sqlite) SQL() SQL {
	return SQL{
		// The types are AutoMigrate's: by their names the drivers know which text
		// to scan as a time. An index lives in the schema that its own name says.
		Schema: []string{`
			CREATE TABLE IF NOT EXISTS {table} (
				id uuid NOT NULL PRIMARY KEY,
				nonce varchar(255) NOT NULL,
				issued_at datetime NOT NULL,
				expires_at datetime NOT NULL,
				used_at datetime
			)`,
			`CREATE UNIQUE INDEX IF NOT EXISTS {schema}{nonce_index} ON {name} (nonce)`,
			`CREATE INDEX IF NOT EXISTS {schema}{expires_at_index} ON {name} (expires_at)`,
		},

		Insert: `
			INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
			VALUES (@id, @nonce, @issued_at, @expires_at, @used_at)
			ON CONFLICT (nonce) DO NOTHING`,

		// The collation costs nothing where it is the column's own, as it is
		// unless somebody declared another.
		Consume: `
			UPDATE {table} SET used_at = @now
			WHERE nonce = @nonce COLLATE BINARY AND used_at IS NULL AND {fresh}`,

		Verdict: `
			SELECT used_at IS NOT NULL, {fresh}, id
			FROM {table} WHERE nonce = @nonce COLLATE BINARY`,

		Sweep: `
			DELETE FROM {table} WHERE id IN (
				SELECT id FROM {table} WHERE expires_at < @now ORDER BY expires_at LIMIT @limit)`,

		WritersTakeTurns: true,

		Shared: &Shared{
			Issue: `
				INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
				VALUES @rows
				ON CONFLICT (nonce) DO NOTHING`,
			Accept: `
				INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
				VALUES @rows
				ON CONFLICT (nonce) DO NOTHING
				RETURNING nonce`,
			Verdicts: `
				SELECT nonce, used_at IS NOT NULL, {fresh}
				FROM {table} WHERE nonce COLLATE BINARY IN @nonces`,
			Steps: &Steps{
				Lock: `
					UPDATE {table} SET used_at = @now
					WHERE nonce COLLATE BINARY IN @nonces AND used_at IS NULL AND {fresh}
					RETURNING nonce, id`,
			},
		},
	}
}

// Fault reads messages: they are SQLite's own, and the drivers share no type. In
// the text of what wraps them, a word may be hidden that is a nonce.
func (sqlite) Fault(err error) (Fault, string) {
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		has := func(part string) bool { return strings.Contains(text, part) }
		switch {
		case has("database is locked"), has("database table is locked"),
			has("database schema is locked"), has("locking protocol"):
			return Locked, ""
		case has("ON CONFLICT clause does not match"):
			return NoUniqueIndex, ""
		case has("already exists"):
			return Exists, ""
		}
	}
	return Other, ""
}
