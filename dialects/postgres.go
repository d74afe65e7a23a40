package dialects

import (
	"database/sql"
	"errors"
	"strings"
	"time"
)

// Postgres returns the dialect of PostgreSQL 12 and later.
func Postgres() Dialect { return postgres{} }

type postgres struct{}

var _ Dialect = postgres{}

func (postgres) Name() string { return "postgres" }

// Instant binds the time itself: in UTC and whole seconds it is right for
// timestamp, timestamp(0) and timestamptz columns, in every mode of pgx.
func (postgres) Instant(t time.Time) any { return t }

func (postgres) SQL() SQL {
	return SQL{
		// timestamptz, as AutoMigrate has it: timestamp would keep the wall clock
		// of a time in another zone. The room that fillfactor leaves keeps the
		// update of used_at on its page, and thus out of the indexes.
		Schema: []string{`
			CREATE TABLE IF NOT EXISTS {table} (
				id uuid PRIMARY KEY,
				nonce varchar(255) NOT NULL,
				issued_at timestamptz NOT NULL,
				expires_at timestamptz NOT NULL,
				used_at timestamptz
			) WITH (fillfactor = 85)`,
			`CREATE UNIQUE INDEX IF NOT EXISTS {nonce_index} ON {table} (nonce)`,
			`CREATE INDEX IF NOT EXISTS {expires_at_index} ON {table} (expires_at)`,
		},

		// DO NOTHING leaves a caller's transaction usable, and naming the column
		// keeps a conflict of ids an error.
		Insert: `
			INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
			VALUES (@id, @nonce, @issued_at, @expires_at, @used_at)
			ON CONFLICT (nonce) DO NOTHING`,

		// The second comparison is of bytes: citext and some collations ignore case.
		Consume: `
			UPDATE {table} SET used_at = @now
			WHERE nonce = @nonce AND nonce::text COLLATE "C" = @nonce
				AND used_at IS NULL AND {fresh}`,

		Verdict: `
			SELECT used_at IS NOT NULL, {fresh}, id::text
			FROM {table} WHERE nonce = @nonce AND nonce::text COLLATE "C" = @nonce`,

		// The array makes the planner go to the rows, in their order on disk; IN
		// (SELECT ...) alone scanned the whole table. A row that changed since has
		// another ctid, and is left for the next sweep. Partitions may share a
		// ctid, and differ in tableoid.
		Sweep: `
			WITH expired AS (
				SELECT tableoid, ctid FROM {table} WHERE expires_at < @now
				ORDER BY expires_at LIMIT @limit FOR UPDATE SKIP LOCKED
			)
			DELETE FROM {table}
			WHERE ctid = ANY (ARRAY(SELECT ctid FROM expired))
				AND (tableoid, ctid) IN (SELECT tableoid, ctid FROM expired)`,

		// The difference of instants is of the same kind of column on both sides; an
		// infinite one would be an error.
		SweepLag: `
			SELECT ceil(extract(epoch FROM @now - greatest(expires_at, '0001-01-01')))::bigint
			FROM {table} WHERE expires_at < @now ORDER BY expires_at LIMIT 1`,

		SweepView: `
			DELETE FROM {table}
			WHERE id = ANY (ARRAY(
				SELECT id FROM {table} WHERE expires_at < @now
				ORDER BY expires_at LIMIT @limit FOR UPDATE SKIP LOCKED))`,

		// The setting is the transaction's: in autocommit, this statement's.
		InsertAsync: `
			INSERT INTO {table} (id, nonce, issued_at, expires_at)
			SELECT @id, @nonce, @issued_at, @expires_at
			WHERE set_config('synchronous_commit', 'off', true) = 'off'
			ON CONFLICT (nonce) DO NOTHING`,

		// What is found is as of the statement's snapshot, in which a row may look
		// unused and fresh after another caller has won. A row that is locked is not
		// of the snapshot.
		Rotate: `
			WITH spent AS (
				UPDATE {table} SET used_at = @now
				WHERE nonce = @nonce AND nonce::text COLLATE "C" = @nonce
					AND used_at IS NULL AND {fresh}
				RETURNING 1
			), stored AS (
				INSERT INTO {table} (id, nonce, issued_at, expires_at)
				VALUES (@id, @next, @issued_at, @expires_at)
				ON CONFLICT (nonce) DO NOTHING
				RETURNING 1
			)
			SELECT FROM generate_series(1,
				CASE WHEN EXISTS (SELECT FROM spent) THEN 1 ELSE coalesce((
					SELECT CASE WHEN used_at IS NOT NULL THEN 2 WHEN NOT ({fresh}) THEN 3
						WHEN EXISTS (SELECT FROM {table} AS locked
							WHERE locked.id = seen.id AND locked.used_at IS NULL FOR UPDATE) THEN 5
						ELSE 2 END
					FROM {table} AS seen
					WHERE nonce = @nonce AND nonce::text COLLATE "C" = @nonce), 4) END
				+ CASE WHEN EXISTS (SELECT FROM stored) THEN 0 ELSE 5 END)`,

		// An UPDATE there waits for a competing one and looks again, where the
		// higher levels fail.
		Isolation: sql.LevelReadCommitted,

		Unchanged: "triggers that return NULL, rules, row security",

		Shared: &Shared{
			Issue: `
				INSERT INTO {table} (id, nonce, issued_at, expires_at)
				SELECT n.id, n.nonce, @issued_at, @expires_at
				FROM set_config('synchronous_commit', 'off', true),
					unnest(@ids::uuid[], @nexts::text[]) AS n (id, nonce)
				ON CONFLICT (nonce) DO NOTHING`,
			// An INSERT cannot pass over a nonce that another transaction is about to
			// insert: it waits for 50 ms, and each caller then goes alone. The
			// instants take the type of their columns from rows that are not there.
			Accept: `
				INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
				SELECT n.id, n.nonce, typed.issued_at + n.issued * interval '1 second',
					typed.expires_at + n.expires * interval '1 second', typed.used_at
				FROM set_config('lock_timeout', '50ms', true),
					(SELECT coalesce(issued_at, @now) AS issued_at,
						coalesce(expires_at, @now) AS expires_at, coalesce(used_at, @now) AS used_at
					FROM (SELECT) AS one LEFT JOIN {table} ON false) AS typed,
					unnest(@ids::uuid[], @nexts::text[], @issued::bigint[], @expires::bigint[])
						AS n (id, nonce, issued, expires)
				ON CONFLICT (nonce) DO NOTHING
				RETURNING nonce::text`,
			List: textArray,
			Verdicts: `
				SELECT nonce::text, used_at IS NOT NULL, {fresh}
				FROM {table} WHERE nonce = ANY (@nonces::text[])`,
			Single: &Single{
				Consume: `WITH ` + consumeAll + verdictAll,
				Rotate: `WITH ` + consumeAll + `, stored AS (
						INSERT INTO {table} (id, nonce, issued_at, expires_at)
						SELECT n.id, n.nonce, @issued_at, @expires_at
						FROM unnest(@ids::uuid[], @nexts::text[]) AS n (id, nonce)
						ON CONFLICT (nonce) DO NOTHING
						RETURNING 1
					)` + verdictAll + `
					UNION ALL SELECT '', count(*) = cardinality(@ids::uuid[]), false, false FROM stored`,
			},
		},
	}
}

// Rows are locked before they are updated, because only SELECT can pass over
// those that another transaction holds. They are updated by id: a ctid may be another
// row's in another partition. Arrays make the planner use the indexes, and IS TRUE
// makes it compare bytes by a hash table: = ANY would compare each of 256 nonces
// with all others.
const (
	consumeAll = `asked AS (
			SELECT @nonces::text[] AS nonces
		), spent AS (
			UPDATE {table} SET used_at = @now
			WHERE id = ANY (ARRAY(
				SELECT id FROM {table}
				WHERE nonce = ANY ((SELECT nonces FROM asked)::text[]) AND used_at IS NULL AND {fresh}
					AND (nonce::text COLLATE "C" IN (SELECT unnest(nonces) FROM asked)) IS TRUE
				ORDER BY nonce FOR UPDATE SKIP LOCKED))
			AND used_at IS NULL
			RETURNING nonce::text
		)`
	verdictAll = `
		SELECT nonce, true, NULL::boolean, NULL::boolean FROM spent
		UNION ALL
		SELECT nonce::text, false, used_at IS NOT NULL, {fresh} FROM {table}
		WHERE nonce = ANY ((SELECT nonces FROM asked)::text[])
			AND (SELECT count(*) FROM spent) < (SELECT cardinality(nonces) FROM asked)`
)

// textArray returns an array of texts, which have neither quotes nor backslashes.
func textArray(texts []string) any {
	if len(texts) == 0 {
		return "{}"
	}
	return `{"` + strings.Join(texts, `","`) + `"}`
}

func (postgres) Fault(err error) (Fault, string) {
	switch sqlState(err) {
	case "40001": // serialization_failure
		return Serialization, ""
	case "40P01", "55P03": // deadlock_detected, lock_not_available
		return Locked, ""
	case "42P10": // invalid_column_reference: ON CONFLICT finds no index
		return NoUniqueIndex, ""
	case "42P07", "42710": // duplicate_table, duplicate_object
		return Exists, ""
	case "23505": // unique_violation, where DDL runs in the catalog
		if strings.Contains(err.Error(), "pg_class_relname_nsp_index") || strings.Contains(err.Error(), "pg_type_typname_nsp_index") {
			return Exists, ""
		}
		return DuplicateKey, ""
	case "42703": // undefined_column
		if strings.Contains(err.Error(), "tableoid") || strings.Contains(err.Error(), "ctid") {
			return NotATable, ""
		}
	case "25006": // read_only_sql_transaction
		return Other, "the session is read-only: connect to the primary (target_session_attrs=read-write), " +
			"with default_transaction_read_only off"
	case "26000", "42P05": // invalid_sql_statement_name, duplicate_prepared_statement
		return Other, "a pooler changed the connection of a prepared statement: " +
			"add default_query_exec_mode=cache_describe to the DSN and leave PrepareStmt off"
	}
	return Other, ""
}

// sqlState returns the SQLSTATE of a PostgreSQL driver's error, or "".
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}
