package dialects

import (
	"database/sql"
	"time"
)

// Postgres returns the dialect of PostgreSQL 11 and later.
func Postgres() Dialect { return postgres{} }

type postgres struct{}

var _ Dialect = postgres{}

func (postgres) Name() string { return "postgres" }

// Instant binds the time itself: in UTC and whole seconds it is right for
// timestamp, timestamp(0) and timestamptz columns, in every mode of pgx.
func (postgres) Instant(t time.Time) any { return t }

// Schema has timestamptz, as AutoMigrate does: a time that somebody binds in
// another zone is stored right, where timestamp would keep its wall clock. The
// room that fillfactor leaves keeps the update of used_at on its page, and thus
// out of the indexes.
func (postgres) Schema(t Table) []string {
	table := t.Quoted(`"`)
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
  id uuid PRIMARY KEY,
  nonce varchar(255) NOT NULL,
  issued_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
) WITH (fillfactor = 85)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS "` + t.NonceIndex() + `" ON ` + table + ` (nonce)`,
		`CREATE INDEX IF NOT EXISTS "` + t.ExpiresAtIndex() + `" ON ` + table + ` (expires_at)`,
	}
}

func (postgres) SQL(t Table) SQL {
	table := t.Quoted(`"`)
	s := portable(table, `nonce = @nonce`)
	// DO NOTHING leaves a caller's transaction usable, and naming the column
	// keeps a conflict of ids an error.
	s.Insert = `INSERT INTO ` + table + newRow + ` ON CONFLICT (nonce) DO NOTHING`
	// The setting is the transaction's: in autocommit, this statement's.
	s.InsertAsyncAgain = `INSERT INTO ` + table + columns +
		`SELECT @id, @nonce, @issued_at, @expires_at WHERE set_config('synchronous_commit', 'off', true) = 'off'`
	// ON CONFLICT costs a lookup and a second WAL record for every row, and is an
	// error where the index is missing.
	s.InsertAsync = s.InsertAsyncAgain + ` ON CONFLICT (nonce) DO NOTHING`
	// The reason is that of the statement's snapshot, in which a row may look
	// unused and fresh after another has won: that is used.
	s.Rotate = `WITH spent AS (` + s.Consume + ` RETURNING 1), issued AS (INSERT INTO ` + table + successor +
		` ON CONFLICT (nonce) DO NOTHING RETURNING 1)` +
		` SELECT FROM generate_series(1, CASE WHEN EXISTS (SELECT FROM spent) THEN 1` +
		` ELSE coalesce((SELECT CASE WHEN used_at IS NULL AND NOT (` + fresh + `) THEN 3 ELSE 2 END FROM ` + table +
		` WHERE nonce = @nonce), 4) END + CASE WHEN EXISTS (SELECT FROM issued) THEN 0 ELSE 4 END)`
	s.Counted = true
	// An array makes the planner go to the rows, in their order on disk; IN
	// (SELECT ...) scanned the whole table. A row that changed since has another
	// ctid, and is left for the next sweep. Partitions may share a ctid: the last
	// condition is for them, in a form that tempts the planner to no index.
	s.Sweep = `DELETE FROM ` + table + ` WHERE ctid = ANY(ARRAY(SELECT ctid FROM ` + table +
		` WHERE expires_at < @now ORDER BY expires_at LIMIT @limit FOR UPDATE SKIP LOCKED)) AND (expires_at < @now) IS TRUE`

	s.IssueAll = `INSERT INTO ` + table + columns + `SELECT n.id, n.nonce, @issued_at, @expires_at` +
		` FROM set_config('synchronous_commit', 'off', true),` +
		` unnest(@id_array::uuid[], @next_array::text[]) AS n (id, nonce) ON CONFLICT (nonce) DO NOTHING`
	// Rows are locked before they are updated, because only SELECT can skip
	// those that somebody holds. A row that changed since has another ctid, and
	// is asked for alone.
	spend := `UPDATE ` + table + ` SET used_at = @now WHERE ctid = ANY(ARRAY(SELECT ctid FROM ` + table +
		` WHERE nonce = ANY(@nonce_array::text[]) AND used_at IS NULL AND ` + fresh +
		` ORDER BY nonce FOR UPDATE SKIP LOCKED)) AND used_at IS NULL RETURNING nonce`
	s.ConsumeAll = spend + `, id`
	s.RotateAll = `WITH spent AS (` + spend + `), issued AS (INSERT INTO ` + table + columns +
		`SELECT n.id, n.nonce, @issued_at, @expires_at` +
		` FROM unnest(@id_array::uuid[], @next_array::text[]) AS n (id, nonce) ON CONFLICT (nonce) DO NOTHING RETURNING 1)` +
		` SELECT nonce, '' FROM spent UNION ALL SELECT '', count(*)::text FROM issued`
	s.ReasonAll = reasonAll(table, `= ANY(@nonce_array::text[])`)
	return s
}

// Isolation is READ COMMITTED: an UPDATE there waits for a competing one and
// looks again, where the higher levels fail.
func (postgres) Isolation() sql.IsolationLevel { return sql.LevelReadCommitted }

func (postgres) Fault(err error) Fault {
	switch sqlState(err) {
	case "40001": // serialization_failure
		return Serialization
	case "40P01", "55P03": // deadlock_detected, lock_not_available
		return Locked
	case "42P10": // invalid_column_reference: ON CONFLICT finds no index
		return NoUniqueIndex
	case "26000", "42P05": // invalid_sql_statement_name, duplicate_prepared_statement
		return Unprepared
	case "42P07", "42710": // duplicate_table, duplicate_object
		return Exists
	case "23505": // unique_violation, in the catalog where DDL runs
		return Taken
	}
	return Other
}
