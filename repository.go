package dpopnonce

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// DefaultTTL is a lifetime for nonces that suits most servers.
const DefaultTTL = 5 * time.Minute

// Repository stores nonces in one table. It is safe for concurrent use, starts
// no goroutine, and shares its state with other processes through the database
// alone.
//
// The times it stores and compares are UTC, in whole seconds, floored, taken
// from the process's clock (see [WithClock]). A nonce is never accepted at or
// past its expires_at, by the clock of the node that is asked: between nodes
// whose clocks differ, it lives longer or shorter by the difference, and is
// accepted once in any case.
//
// Its statements are raw SQL on the primary database, so that callbacks,
// scopes, hooks and naming strategies of the application do not change them.
// A resolver that the caller selected by name for dbresolver is not kept.
// They reach the application's GORM logger without their parameters.
//
// Outside a caller's transaction, statements that failed to serialize are
// repeated until ctx ends, those that met a deadlock or a lock timeout at most
// 10 times, and those that were not sent because the connection was broken
// (driver.ErrBadConn) 3 times. A connection that is not provably the pool
// itself, such as the one that [gorm.DB.Connection] hands out, counts as a
// caller's transaction: nothing is repeated there, and the driver's error is
// found by errors.As.
type Repository struct {
	db         *gorm.DB // a session of its own: no conditions, no error, quiet logger
	err        error    // why db cannot be used; set by WithTx only
	callerTx   bool     // db may be in a transaction of the caller's
	isTx       bool     // it is, by what it is or by WithTx
	dialect    dialects.Dialect
	table      dialects.Table
	statements statements
	issued     *atomic.Int64 // up to manyIssues
	clock      func() time.Time
	sweepBatch int

	groupCommit bool
	groups      *groups // nil without group commit, and in a caller's transaction
}

// An Option changes a default of NewRepository.
type Option func(*Repository) error

// WithDialect sets the dialect, in place of the one that the name of db's
// dialector selects.
func WithDialect(d dialects.Dialect) Option {
	return func(r *Repository) error {
		if d == nil {
			return errors.New("WithDialect: nil dialect")
		}
		r.dialect = d
		return nil
	}
}

// WithTable sets the table, in place of dpop_nonces: a name, or a schema and a
// name with a dot between them. Letters, digits and "_", "-" or "$" are
// allowed, at most 63 bytes in each part; case counts where the database says
// so. Create the table with [Repository.Migrate] or [Repository.Schema].
func WithTable(name string) Option {
	return func(r *Repository) (err error) {
		if r.table, err = dialects.ParseTable(name); err != nil {
			return fmt.Errorf("WithTable: %w", err)
		}
		return nil
	}
}

// WithClock sets the clock, in place of the gorm.Config's NowFunc. It is
// called from many goroutines and may answer in any zone.
func WithClock(now func() time.Time) Option {
	return func(r *Repository) error {
		if now == nil {
			return errors.New("WithClock: nil clock")
		}
		r.clock = now
		return nil
	}
}

// WithSweepBatch sets how many rows one statement of Sweep deletes at most, in
// place of 1000.
func WithSweepBatch(rows int) Option {
	return func(r *Repository) error {
		if rows < 1 {
			return fmt.Errorf("WithSweepBatch: %d rows", rows)
		}
		r.sweepBatch = rows
		return nil
	}
}

// NewRepository returns a repository on db, which stays the application's own:
// conditions and errors that it carries are left behind, and nothing in it is
// changed. It does no I/O: bring the table in with [Repository.Migrate],
// [Repository.Schema] or AutoMigrate.
//
// A nil db or one in DryRun mode, a database without a dialect, and a bad
// option are errors. Of an option given twice, the last counts.
func NewRepository(db *gorm.DB, opts ...Option) (*Repository, error) {
	r := &Repository{table: dialects.Table{Name: defaultTable}, sweepBatch: 1000, issued: new(atomic.Int64)}
	err := r.configure(db, opts)
	if err != nil {
		return nil, fmt.Errorf("dpopnonce: new repository: %w", err)
	}
	return r, nil
}

func (r *Repository) configure(db *gorm.DB, opts []Option) (err error) {
	if err := usable(db); err != nil {
		return err
	}
	r.clock = db.NowFunc
	for _, option := range opts {
		if option == nil {
			return errors.New("nil option")
		}
		if err := option(r); err != nil {
			return err
		}
	}
	if r.dialect == nil {
		if r.dialect, err = dialects.For(db.Dialector.Name()); err != nil {
			return err
		}
	}
	if r.statements, err = compileAll(r.dialect, r.table); err != nil {
		return err
	}
	r.bind(db)
	if r.groupCommit && r.statements.consumeAll.absent() {
		return fmt.Errorf("WithGroupCommit: dialect %s has no shared statements", r.dialect.Name())
	}
	if r.groupCommit && !r.callerTx {
		r.groups = newGroups(r)
	}
	return nil
}

// WithTx returns the same repository inside the caller's transaction tx: what
// it writes is committed or rolled back with the rest.
//
// A rollback un-consumes a nonce, and drops the successor of a Rotate: commit
// when Rotate returns ErrRejected, too, or Consume inside the transaction and
// Issue outside. Rejections, duplicates and malformed nonces leave the
// transaction usable; nothing is repeated in it, and a failure to serialize is
// the driver's error. Migrate and SweepEvery are errors in a transaction. With
// a nil or DryRun tx, or one that failed to begin, every call is an error.
func (r *Repository) WithTx(tx *gorm.DB) *Repository {
	clone := *r
	clone.groups, clone.isTx = nil, true
	if clone.err = usable(tx); clone.err != nil {
		clone.err = fmt.Errorf("dpopnonce: WithTx: %w", clone.err)
		return &clone
	}
	clone.bind(tx)
	return &clone
}

// usable reports why no statement can run on db.
func usable(db *gorm.DB) error {
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
		return errors.New("*gorm.DB is in DryRun mode: it would accept a nonce without spending it")
	}
	return nil
}

// neverBegan reports whether pool is what a Begin that failed leaves behind:
// none, or a nil *sql.Tx, which panics.
func neverBegan(pool gorm.ConnPool) bool {
	if pool == nil {
		return true
	}
	if prepared, ok := pool.(*gorm.PreparedStmtTX); ok {
		return prepared == nil || prepared.Tx == nil || neverBegan(prepared.Tx)
	}
	v := reflect.ValueOf(pool)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// bind makes db the repository's own session.
func (r *Repository) bind(db *gorm.DB) {
	r.callerTx = mayBeTransaction(db.Statement.ConnPool)
	r.isTx = r.isTx || inTransaction(db)
	r.db = db.Session(&gorm.Session{NewDB: true, Logger: quietLogger{db.Logger, r.dialect}})
	r.db.Error = nil
	// The translation would lose which index a duplicate violates.
	r.db.TranslateError = false
}

// mayBeTransaction reports whether pool is not provably a pool: a *sql.Conn
// with a hand-written BEGIN cannot be told from one without.
func mayBeTransaction(pool gorm.ConnPool) bool {
	if prepared, ok := pool.(*gorm.PreparedStmtDB); ok {
		pool = prepared.ConnPool
	}
	_, isPool := pool.(*sql.DB)
	return !isPool
}

// errTransaction is the error of what cannot run in a caller's transaction.
var errTransaction = errors.New("not possible inside a transaction")

// inTransaction reports whether db is provably inside one.
func inTransaction(db *gorm.DB) bool {
	_, ok := db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// now returns the current whole second.
func (r *Repository) now() time.Time { return wholeSecond(r.clock()) }

// wholeTTL floors ttl to whole seconds.
func wholeTTL(ttl time.Duration) (time.Duration, error) {
	if ttl < time.Second {
		return 0, ErrTTL
	}
	return ttl.Truncate(time.Second), nil
}
