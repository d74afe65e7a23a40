// Package session runs statements on an application's GORM database: as raw SQL
// with bound values, on the primary, each in a new GORM statement, repeated
// where the database says that nothing happened, and logged without values.
package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// A Session is a database as the library uses it. It is safe for concurrent
// use.
type Session struct {
	db         *gorm.DB // a session of its own: no conditions, no error, quiet logger
	dialect    dialects.Dialect
	table      string
	isolation  sql.IsolationLevel
	list       func([]string) any // how a list is bound; nil: as IN expects it
	rows       func([][]any) any  // how rows are bound; nil: as VALUES expects them
	statements map[string]statement
	secrets    []string  // names of values
	prepared   *prepared // nil if the driver prepares, or db is not on a *sql.DB

	takesTurns bool
	pool       *sql.DB       // that poolOf finds, or nil
	conns      gorm.ConnPool // what statements outside of transactions run on

	// InTransaction says that statements may be in a transaction of the caller's,
	// because no pool was found.
	InTransaction bool

	// IsTransaction says that statements are in a transaction of the caller's.
	IsTransaction bool
}

// New returns a session on db that can run the statements of s on table. Nothing
// in db is changed. Of the values that a statement binds, no error and no log
// shows those named in secrets.
func New(db *gorm.DB, d dialects.Dialect, s dialects.SQL, table dialects.Table, secrets ...string) *Session {
	all := &Session{dialect: d, table: table.String(), isolation: s.Isolation, takesTurns: s.WritersTakeTurns,
		statements: map[string]statement{}, secrets: secrets}
	if s.Shared != nil {
		all.list, all.rows = s.Shared.List, s.Shared.Rows
	}
	for _, text := range s.Texts() {
		all.statements[text] = parse(text)
	}
	if pool, is := db.Statement.ConnPool.(*sql.DB); is && s.Prepare {
		all.prepared = newPrepared(pool, d, all.statements)
	}
	return all.On(db)
}

// On returns the same session on another handle of the same database.
func (s *Session) On(db *gorm.DB) *Session {
	clone := *s
	clone.pool = poolOf(db.Statement.ConnPool)
	clone.InTransaction = clone.pool == nil
	clone.conns = db.Statement.ConnPool
	if p := s.prepared; p != nil && clone.conns == gorm.ConnPool(p.DB) {
		clone.conns = p
	}
	clone.conns = unlocked{clone.conns, clone.pool}
	_, clone.IsTransaction = db.Statement.ConnPool.(gorm.TxCommitter)
	clone.db = db.Session(&gorm.Session{NewDB: true, Logger: quietLogger{db.Logger, s.dialect, clone.InTransaction}})
	clone.db.Error = nil
	// The translation would lose which index a duplicate violates.
	clone.db.TranslateError = false
	return &clone
}

// Log writes an error to the application's GORM logger.
func (s *Session) Log(ctx context.Context, err error) { s.db.Logger.Error(ctx, "%v", err) }

// Usable returns an error that says why no statement can run on db, or nil.
func Usable(db *gorm.DB) error {
	switch {
	case db == nil:
		return errors.New("nil *gorm.DB")
	case db.Config == nil || db.Dialector == nil || db.Statement == nil:
		return errors.New("*gorm.DB is not open")
	case neverBegan(db.Statement.ConnPool) && db.Error != nil:
		return fmt.Errorf("the transaction did not begin: %w", db.Error)
	case neverBegan(db.Statement.ConnPool):
		return errors.New("*gorm.DB has no connection")
	case db.DryRun:
		return errors.New("*gorm.DB is in DryRun mode, which changes no row")
	}
	return nil
}
