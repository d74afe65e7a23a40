// Package dialects states what differs between databases: SQL and facts. A
// dialect runs nothing, holds no state and imports no driver; one
// dpopnonce.Repository executes them all.
//
// For another database, write a type of your own, pass it to
// dpopnonce.WithDialect and test it with package dialecttest.
package dialects

import (
	"fmt"
	"time"
)

// A Dialect describes one database. Its methods are called from many
// goroutines.
type Dialect interface {
	// Name is what the database's gorm.Dialector returns as its name.
	Name() string

	// Instant returns the value to bind for t, which is a whole second in UTC.
	// Bound and stored values must compare in the database as instants do.
	Instant(t time.Time) any

	// SQL returns the statements, with the name of the table left open.
	SQL() SQL

	// Fault says what a driver's error means, and advice is what the operator
	// can do about it, "" if nothing is known. The error is not nil. It may be
	// wrapped, in a text that has [hidden] in place of nonces and words that are
	// part of one: errors.Unwrap and errors.As find the driver's own.
	Fault(err error) (fault Fault, advice string)
}

// A Fault is what an error of a driver means to the statement that met it.
type Fault int

const (
	// Other: nothing is known. The statement may or may not have happened.
	Other Fault = iota

	// DuplicateNonce: an INSERT did nothing, because the nonce is in the table.
	DuplicateNonce

	// DuplicateKey: an INSERT did nothing, because the id, or the id and the
	// nonce, are in the table.
	DuplicateKey

	// NoUniqueIndex: an INSERT did nothing, because no unique index covers nonce.
	NoUniqueIndex

	// Exists: the DDL did nothing, because another node has just run it.
	Exists

	// Serialization: nothing happened; the same again can succeed at any time.
	Serialization

	// Locked: nothing happened, because of a deadlock or a lock timeout.
	Locked

	// NotATable: the statement needs a table, and this is a view.
	NotATable

	// NeedsTransaction: nothing happened, because the session would not commit the
	// statement, or refuses the isolation level; in a transaction, of another
	// level, it can succeed.
	NeedsTransaction

	// Unprepared: nothing happened, because the server does not keep the statement
	// prepared; as it is, it can succeed.
	Unprepared

	// Unshared: nothing happened, because the session cannot run a statement that
	// callers share; each call alone can succeed.
	Unshared
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

// chain returns err and all that it wraps, in the order of errors.As.
func chain(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return append(all, chain(err.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			all = append(all, chain(inner)...)
		}
	}
	return all
}
