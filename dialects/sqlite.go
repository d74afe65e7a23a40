package dialects

import (
	"encoding/json"
	"strings"
	"time"
)

// SQLite returns the dialect of SQLite 3.24 and later; group commit needs 3.35.
func SQLite() Dialect { return sqlite{} }

type sqlite struct{}

var _ Dialect = sqlite{}

func (sqlite) Name() string { return "sqlite" }

// Instant binds text, because SQLite has no type for instants: always in UTC, in
// the form in which the drivers store a whole UTC second.
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
		// unless another was declared.
		Consume: `
			UPDATE {table} SET used_at = @now
			WHERE nonce = @nonce COLLATE BINARY AND used_at IS NULL AND {fresh}`,

		Verdict: `
			SELECT used_at IS NOT NULL, {fresh}, id
			FROM {table} WHERE nonce = @nonce COLLATE BINARY`,

		// The index has expires_at as text. Instants with a blank and instants with
		// a T are in order there, each day's with a T behind the others. One in
		// another zone is found late, by up to 15 hours.
		Sweep: `
			DELETE FROM {table} WHERE id IN (
				SELECT id FROM {table}
				WHERE expires_at < @now AND ` + past + `
				UNION ALL
				SELECT id FROM {table}
				WHERE ` + earlierToday + ` AND ` + past + `
				LIMIT @limit)`,

		// Of each of the two, the first by text.
		SweepLag: `
			SELECT strftime('%s', @now) - strftime('%s', min(ended)) FROM (
				SELECT * FROM (
					SELECT ` + ended + ` AS ended FROM {table}
					WHERE expires_at < @now AND ` + past + ` ORDER BY expires_at LIMIT 1)
				UNION ALL
				SELECT * FROM (
					SELECT ` + ended + ` FROM {table}
					WHERE ` + earlierToday + ` AND ` + past + ` ORDER BY expires_at LIMIT 1))`,

		// Text in the form of Instant compares as the instants do.
		Fresh: `CASE WHEN expires_at || issued_at LIKE '` + ownForm + ownForm + `' THEN ` + fresh + ` END`,

		Foreign: &Foreign{
			Consume: `
				UPDATE {table} SET used_at = @now
				WHERE nonce = @nonce COLLATE BINARY AND used_at IS NULL AND ` + readFresh,
			Verdict: `
				SELECT used_at IS NOT NULL, ` + readFresh + `, id
				FROM {table} WHERE nonce = @nonce COLLATE BINARY`,
		},

		WritersTakeTurns: true,
		Prepare:          true,
		Unchanged:        "triggers",

		// Lists and rows are one value each, JSON: a text with a ? for each of a
		// thousand values takes longer to write and to parse than to run.
		Shared: &Shared{
			Issue:  insertRows,
			Accept: insertRows + ` RETURNING nonce`,
			Verdicts: `
				SELECT nonce, used_at IS NOT NULL, {fresh}
				FROM {table} WHERE nonce COLLATE BINARY IN (SELECT value FROM json_each(@nonces))`,
			List: func(texts []string) any { return asJSON(texts) },
			Rows: func(rows [][]any) any { return asJSON(rows) },
			Steps: &Steps{
				Lock: `
					UPDATE {table} SET used_at = @now
					WHERE nonce COLLATE BINARY IN (SELECT value FROM json_each(@nonces)) AND used_at IS NULL AND {fresh}
					RETURNING nonce, id`,
			},
		},
	}
}

// WHERE keeps ON from being read as that of a join.
const insertRows = `
	INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
	SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
	FROM json_each(@rows) WHERE true
	ON CONFLICT (nonce) DO NOTHING`

// asJSON returns strings, and rows of strings and nil, as text.
func asJSON(values any) string {
	text, err := json.Marshal(values)
	if err != nil { // they all have a form
		panic(err)
	}
	return string(text)
}

const (
	ownForm      = `____-__-__ __:__:__+00:00`
	earlierToday = `expires_at >= date(@now) || 'T' AND expires_at < replace(datetime(@now), ' ', 'T')` // with a T
)

// A Check takes longer with readFresh in it, above all where it is not prepared:
// hence it is for foreign rows only.
var (
	readFresh = read("expires_at") + ` >= datetime(@next_second)
		AND ` + read("issued_at") + ` BETWEEN datetime(@oldest) AND datetime(@too_new, '-1 second')`

	// An instant that cannot be read is past two days after its date, in any zone.
	ended = `coalesce(` + read("expires_at") + `, datetime(substr(expires_at, 1, 10), '+2 days'))`
	past  = ended + ` < datetime(@now)`
)

// read returns SQL for the instant in a column as datetime has it, in UTC and
// floored, or NULL: ISO 8601 with a blank or a T, with fractions, with Z or an
// offset, as datetime reads it, and what Go's Time.String returns. Fractions are
// cut off, because datetime rounds them to milliseconds, and only text that
// begins with a date counts, because datetime also reads 'now' and numbers.
func read(column string) string {
	second := `substr(` + column + `, 1, 19)`
	zone := `ltrim(substr(` + column + `, 20), '.0123456789')`
	return `CASE
		WHEN ` + zone + ` LIKE ' _____ %'
			THEN datetime(` + second + ` || substr(` + zone + `, 1, 4) || ':' || substr(` + zone + `, 5, 2))
		WHEN ` + column + ` LIKE '____-__-__%'
			THEN min(datetime(` + column + `), datetime(` + second + ` || ` + zone + `))
		END`
}

// Fault reads messages: they are SQLite's own, and the drivers share no type. In
// the text of what wraps them, a word may be hidden that is a nonce.
func (sqlite) Fault(err error) (Fault, string) {
	for _, err := range chain(err) {
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
