package dialects

import "database/sql"

// SQL holds the statements of a Repository. Two kinds of gaps are filled in:
// names in braces, once for each table, and named values, for each call.
//
//	{table}             the table, quoted, with its schema
//	{name}              the table, quoted, without its schema
//	{schema}            the quoted schema and a dot, or nothing
//	{nonce_index}       the name of the unique index on nonce, quoted
//	{expires_at_index}  the name of the index on expires_at, quoted
//	{fresh}             Fresh, or expires_at >= @next_second AND issued_at >= @oldest AND issued_at < @too_new
//
// {fresh} is the rule of time: expires_at > now, and issued_at from now less
// the ttl to now plus the tolerance. Its bounds are whole seconds of the years 1
// to 9999, so that an instant that another program stored with a fraction counts
// as floored.
//
// Every statement may name @inside: whether it is in a transaction that the
// Repository or its caller commits. @@name is a variable of the database. A nonce
// must be matched byte for byte, whatever the column's collation.
//
// A statement must name the values that its comment names, and {fresh}, or its
// three values, where the comment does. White space counts as one blank, and a comment from -- on would
// not end: neither -- nor a `?` may appear, nor a brace outside of a gap, nor a #
// where Quote is a backtick. NewRepository refuses what breaks these rules.
type SQL struct {
	// Quote encloses a name; "\"" if it is empty.
	Quote string

	// Schema creates the table, its unique index on nonce and its index on
	// expires_at where they are absent, and alters nothing. Many nodes may run
	// it at once.
	Schema []string

	// Insert adds one row: @id, @nonce, @issued_at, @expires_at, @used_at. A nonce
	// that is in the table changes no row, or fails with a DuplicateNonce; a
	// caller's transaction must be usable after it. Every other conflict is an
	// error. Where @used_at is not NULL, the count of rows is a verdict: 1 is
	// acceptance.
	Insert string

	// Consume sets used_at to @now where @nonce is unused and {fresh}. Its count
	// of rows is the verdict: 1 is acceptance.
	Consume string

	// Verdict returns a row for @nonce, if it is in the table: whether it is
	// used, whether it is {fresh}, and its id as text.
	Verdict string

	// Sweep deletes at most @limit rows that expired before @now, and passes
	// over rows that another transaction holds, where rows are locked.
	Sweep string

	// SweepLag returns how many seconds before @now the oldest expired row expired,
	// by one look into the index on expires_at. If no row expired before @now, it
	// returns NULL or no row.
	SweepLag string

	// The rest is optional.

	// Fresh is the rule of time in the database's own words. It may be NULL, for
	// a row that something else wrote in a form in which it cannot be compared:
	// Foreign then reads the row.
	Fresh string

	// Foreign has the statements for rows whose {fresh} is NULL; without it, no
	// such row is fresh.
	Foreign *Foreign

	// SweepView is Sweep for a view, where Sweep fails with NotATable.
	SweepView string

	// InsertAsync is Insert of an unused row, as a transaction of its own that does
	// not wait for the disk. It is never sent inside of another transaction.
	InsertAsync string

	// Rotate is Consume and an Insert of @next, @id, @issued_at and @expires_at
	// in one statement. It says its verdict by how many rows it returns: 1 if
	// @nonce was accepted, 2 if it is used, 3 if it is expired, 4 if it is not in
	// the table, 5 if it is unused and fresh and was not accepted, and 5 more if
	// @next was not stored. Counting rows is faster than reading one.
	Rotate string

	// NonceIDs says that the id of a row that is inserted used is derived from its
	// nonce, so that the primary key refuses a second one as well: for a database
	// whose Insert does not fail without the unique index. A DuplicateKey is then
	// a verdict.
	NonceIDs bool

	// Isolation is the level of the transactions that a Repository begins: where
	// the database has one, a level that cannot fail to serialize.
	Isolation sql.IsolationLevel

	// WritersTakeTurns says that the database has one writer at a time. The writes
	// on one pool then wait for each other, Rotate is one transaction, not two, and
	// one shared statement is in flight.
	WritersTakeTurns bool

	// Prepare says that a driver prepares no statements by itself, and runs them
	// faster if they are prepared once for each connection. Only those are prepared
	// that go to the *sql.DB, and whose placeholders are each a ?.
	Prepare bool

	// Unchanged says what can keep a statement from changing a row, for an operator.
	Unchanged string

	// Shared has the statements of group commit; nil if there are none.
	Shared *Shared
}

// Foreign has Consume and Verdict as SQL has them, with a rule of time that reads
// instants in the forms that other programs write. It is not true for what it
// cannot read.
type Foreign struct {
	Consume, Verdict string
}

// Shared has the statements that serve many callers at once, and consumes by one
// of two strategies: Single, or Steps. Their lists are:
//
//	@nonces             what the callers present, each once, sorted
//	@ids, @nexts        under Single, the ids and nonces of new rows
//	@issued, @expires   under Single, the instants of used rows: seconds after @now
//	@rows               under Steps, new rows for VALUES: id, nonce, issued_at, expires_at, used_at
//	@locked             the ids of the rows that Lock returned
//
// Rows that another transaction holds must be passed over, where rows are
// locked.
type Shared struct {
	// Issue is Insert for new rows. Under Single it need not wait for the disk;
	// under Steps it is also the first step.
	Issue string

	// Verdicts is Verdict for all @nonces: rows of nonce, used and fresh.
	Verdicts string

	// Accept inserts new rows, used at @now, and returns the nonces of those that
	// it did insert. It must not wait for another transaction for long: that is
	// Locked.
	Accept string

	// List returns the value to bind for a list. If it is nil, a list is written
	// as IN expects it: (?, ?).
	List func([]string) any

	// Rows returns the value to bind for @rows. If it is nil, they
	// are written as VALUES expects them: (?, ?), (?, ?).
	Rows func(rows [][]any) any

	Single *Single
	Steps  *Steps
}

// Single consumes by one statement that does it all, and is committed by itself.
type Single struct {
	// Consume is Consume and Verdict for all @nonces: rows of nonce, accepted,
	// used and fresh. For a nonce that is accepted, other rows do not count.
	Consume string

	// Rotate is Consume, and inserts @ids and @nexts. One more row has "" for the
	// nonce, and in accepted whether all of them were stored.
	Rotate string
}

// Steps consumes by the steps of one transaction: Issue, if there are new rows,
// Lock, Verdicts, if Lock left a nonce out, and Consume.
type Steps struct {
	// Lock returns the nonces and ids of the rows of @nonces that are unused and
	// {fresh}, and locks them in the order of their nonces; without a Consume, it
	// sets their used_at to @now as well.
	Lock string

	// Consume sets used_at to @now for the rows of @locked, if they are still
	// unused and {fresh}. It may be empty.
	Consume string
}
