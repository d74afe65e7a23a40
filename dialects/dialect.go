// Package dialects states what differs between databases: SQL and facts, and
// nothing that runs. A dialect has no state, no context and no handle, and
// imports no driver: one Repository executes them all.
//
// A database that is not here takes a type of your own, passed to
// dpopnonce.WithDialect and tried with package dialecttest.
package dialects

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A Dialect describes one database. Its methods are called from many
// goroutines.
type Dialect interface {
	// Name is what the database's gorm.Dialector calls itself.
	Name() string

	// Instant returns the value to bind for t, which is a whole second in UTC.
	// Bound and stored values must compare in the database as instants do.
	Instant(t time.Time) any

	// Schema returns the DDL that creates t, its unique index on nonce and its
	// index on expires_at where they are absent, and alters nothing. The
	// statements may run while another node runs them.
	Schema(t Table) []string

	// SQL returns the statements on t.
	SQL(t Table) SQL

	// Isolation is the level of the transactions that a Repository opens
	// itself: where the database has it, one that cannot fail to serialize.
	Isolation() sql.IsolationLevel

	// Fault says what a driver's error means. Errors may be wrapped.
	Fault(err error) Fault
}

// SQL holds the statements of a Repository on one table. They name their
// parameters; any may appear more than once, and a `?` may not appear:
//
//	@nonce        the nonce that is presented, or inserted
//	@now          the current whole second
//	@next_second  the whole second after it
//	@oldest       @now less the ttl of a consume
//	@id, @issued_at, @expires_at   of the row that is inserted
//	@next         the successor that a Rotate inserts, with those three
//	@limit        the most rows that a statement may change
//
// A nonce must be matched byte for byte, whatever the column's collation. A
// row is fresh while
//
//	expires_at >= @next_second AND issued_at >= @oldest
//
// which is expires_at > @now for the whole seconds that are stored here, and
// floors an instant that somebody else stored with a fraction.
type SQL struct {
	// Insert adds one unused row. A nonce that is taken changes no row, or
	// fails with an error that Fault calls Duplicate; a caller's transaction
	// must be usable after it. Every other conflict is an error.
	Insert string

	// Consume sets used_at to @now where the nonce is unused and fresh. The
	// count of its rows decides: 1 is acceptance.
	Consume string

	// Reason explains a Consume that changed nothing: no row for a nonce that
	// is not there, else one column of text, 'expired' for a row that is
	// unused and not fresh. Everything else is taken for 'used'.
	Reason string

	// Valid returns a row if the nonce is unused and expires after @now.
	Valid string

	// Sweep deletes at most @limit rows that expired before @now, and passes
	// over rows that another transaction holds, where rows are locked.
	Sweep string

	// What follows is optional: empty where the database cannot do it.

	// InsertAsync is Insert as a transaction of its own that is not waited for
	// until it is on disk. It is not sent inside of any other transaction.
	InsertAsync string

	// InsertAsyncAgain is InsertAsync for a table whose unique index many an
	// InsertAsync has met. A nonce that is taken may be an error that Fault calls
	// Duplicate or Taken.
	InsertAsyncAgain string

	// Rotate is Consume, Reason and Insert in one statement. It returns as many
	// rows as this sum, and Exec must count them: 1 if the nonce was consumed,
	// 2 if it is used, 3 if it is expired, 4 if it is unknown, and 4 more if
	// @next is taken, where the rest is done all the same.
	Rotate string

	// The statements of group commit, for many callers at once:
	//
	//	@nonces       what they present, each once, sorted, for IN
	//	@nonce_array  the same as the text of an array
	//	@locked       the ids of the rows that ConsumeAll locked, for IN
	//	@next_rows    the rows of new nonces, for VALUES
	//	@id_array, @next_array   their columns as the text of arrays
	//
	// Rows that another transaction holds must be passed over, where rows are
	// locked. With a RotateAll, each statement is sent by itself; without, those
	// of a call are run in one transaction.

	// IssueAll is InsertAsync for @id_array and @next_array, and optional.
	IssueAll string

	// ConsumeAll is Consume for all, and returns a row of each nonce that it
	// consumed and its id. With an UpdateAll it only locks those rows, in the
	// order of their nonces.
	ConsumeAll string

	// UpdateAll is Consume for the ids that ConsumeAll returned: for a database
	// whose UPDATE does not return rows.
	UpdateAll string

	// ReasonAll returns rows of a nonce and a text for all that are there: 'used',
	// 'expired', or '' for one that looks unused and fresh.
	ReasonAll string

	// RotateAll is ConsumeAll, and inserts @id_array and @next_array. One more
	// row has '' and how many it inserted, as text.
	RotateAll string

	// InsertAll is Insert for @next_rows. It is not needed with IssueAll and
	// RotateAll.
	InsertAll string

	// Serial tells that writers take turns, so that more than one statement in
	// flight only makes them wait.
	Serial bool

	// Counted tells that Exec counts the rows that a SELECT returns, so that
	// Valid need not read them.
	Counted bool
}

// A Fault is what an error of a driver means to the statement that met it.
type Fault int

const (
	// Other errors say nothing: the statement may or may not have happened.
	Other Fault = iota
	// Duplicate: Insert did nothing, because the nonce is taken.
	Duplicate
	// Taken: an insert did nothing, because the nonce, the id or both are taken,
	// and the error does not tell which.
	Taken
	// Exists: the DDL did nothing, because another node has just done it.
	Exists
	// NoUniqueIndex: Insert did nothing, because no unique index covers nonce.
	NoUniqueIndex
	// Unprepared: nothing happened, because the connection is not the one that
	// prepared the statement, as behind a pooler that changes it.
	Unprepared
	// Serialization: nothing happened; the same again can succeed at any time.
	Serialization
	// Locked: nothing happened, because of a deadlock or a lock that was not
	// to be had in time.
	Locked
)

// For returns the dialect for what gorm.Dialector.Name returns: "postgres",
// "sqlite" or "mysql".
func For(name string) (Dialect, error) {
	for _, d := range []Dialect{Postgres(), SQLite(), MySQL()} {
		if d.Name() == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("dialects: none for %q: write one and pass it to WithDialect", name)
}

// fresh is the freshness rule of a consume, as SQL documents it.
const fresh = `expires_at >= @next_second AND issued_at >= @oldest`

// portable returns the statements that the databases share, for a quoted table
// and a condition that matches @nonce byte for byte. Insert and Sweep are left
// to the dialect.
func portable(table, matches string) SQL {
	return SQL{
		Consume: `UPDATE ` + table + ` SET used_at = @now WHERE ` + matches +
			` AND used_at IS NULL AND ` + fresh,
		Reason: `SELECT CASE WHEN used_at IS NULL AND NOT (` + fresh + `) THEN 'expired' ELSE 'used' END FROM ` +
			table + ` WHERE ` + matches,
		Valid: `SELECT 1 FROM ` + table + ` WHERE ` + matches +
			` AND used_at IS NULL AND expires_at >= @next_second`,
	}
}

// columns are those of a new row.
const (
	columns   = ` (id, nonce, issued_at, expires_at) `
	newRow    = columns + `VALUES (@id, @nonce, @issued_at, @expires_at)`
	successor = columns + `VALUES (@id, @next, @issued_at, @expires_at)`
)

// reasonAll is ReasonAll for a condition on nonce.
func reasonAll(table, matches string) string {
	return `SELECT nonce, CASE WHEN used_at IS NOT NULL THEN 'used' WHEN NOT (` + fresh +
		`) THEN 'expired' ELSE '' END FROM ` + table + ` WHERE nonce ` + matches
}

// sqlState returns the SQLSTATE of a PostgreSQL driver's error, or "".
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}
