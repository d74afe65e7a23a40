package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/session"
	"gorm.io/gorm"
)

// DefaultTTL is a lifetime for nonces that suits most servers.
const DefaultTTL = 5 * time.Minute

// Repository stores nonces in one table. It is safe for concurrent use, and
// shares its state with other processes through the database alone.
//
// Times are UTC, in whole seconds, floored, by the clock of the process (see
// [WithClock]). Where the clocks of nodes differ, a nonce lives longer or
// shorter by the difference, and is accepted once in any case.
//
// Statements are raw SQL on the primary: callbacks, scopes, hooks and naming
// strategies of the application do not change them, a resolver that the caller
// selected by name is not kept, and GORM's logger gets them without values.
//
// Outside a caller's transaction, what failed to serialize is repeated until ctx
// ends, what met a deadlock or a lock timeout 10 times, and what was not sent
// because connections were broken (driver.ErrBadConn) 3 times. A connection that
// is not provably the pool, as of [gorm.DB.Connection], counts as a caller's
// transaction: nothing is repeated there, and errors.As finds the driver's error.
// So does a ConnPool that wraps a *sql.DB, unless it is a [gorm.GetDBConnector].
type Repository struct {
	session    *session.Session
	err        error // why nothing can run; set by WithTx only
	inTx       bool  // made by WithTx, or on a transaction
	dialect    dialects.Dialect
	table      dialects.Table
	sql        dialects.SQL
	clock      func() time.Time
	bounds     *atomic.Pointer[bounds] // of the current second
	sweepBatch int
	counted    *atomic.Bool // an INSERT has counted its row, as it does without triggers
	proven     *atomic.Bool // the table has refused to accept twice
	presenters *presenters

	sealer *Sealer // opens sealed nonces; nil for none
	seals  bool    // and issues them

	observe     func(context.Context, Event) // nil for none
	groupCommit bool
	queues      queues
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
// conditions, values of [gorm.DB.Set] and errors that it carries are left behind,
// and nothing in it is changed. It does no I/O: bring the table in with
// [Repository.Migrate], [Repository.Schema] or AutoMigrate.
//
// Make one for each table and keep it: on MariaDB and SQLite each prepares
// statements of its own, which go when it is collected, and group commit needs
// its callers in one. Register plugins that wrap the ConnPool before: it keeps the
// pool that db has now.
//
// A nil db or one in DryRun mode, a database without a dialect, and a bad
// option are errors. Of an option given twice, the last counts.
func NewRepository(db *gorm.DB, opts ...Option) (*Repository, error) {
	r := &Repository{table: dialects.Table{Name: defaultTable}, sweepBatch: 1000,
		bounds: new(atomic.Pointer[bounds]), counted: new(atomic.Bool), proven: new(atomic.Bool), presenters: newPresenters()}
	if err := r.configure(db, opts); err != nil {
		return nil, fmt.Errorf("dpopnonce: new repository: %w", err)
	}
	return r, nil
}

func (r *Repository) configure(db *gorm.DB, opts []Option) (err error) {
	if err := session.Usable(db); err != nil {
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
	if r.sql, err = dialects.Statements(r.dialect, r.table); err != nil {
		return err
	}
	r.session = session.New(db, r.dialect, r.sql, r.table, "nonce", "nonces", "next", "nexts")
	r.inTx = r.session.IsTransaction
	if r.groupCommit && r.sql.Shared == nil {
		return fmt.Errorf("WithGroupCommit: dialect %s has no shared statements", r.dialect.Name())
	}
	if r.groupCommit && !r.session.InTransaction {
		r.queues = r.newQueues()
	}
	return nil
}

// WithTx returns the same repository inside the caller's transaction tx: what
// it writes is committed or rolled back with the rest.
//
// A rollback un-consumes a nonce, and drops the successor of a Rotate: commit
// when Rotate returns ErrRejected as well, or Consume inside and Issue outside.
// Rejections and duplicates leave the transaction usable; nothing is repeated in
// it. Migrate and SweepEvery are errors there. With a nil or DryRun tx, or one
// that failed to begin, every call is an error. On a handle that is not a
// transaction each call runs by itself, without group commit.
func (r *Repository) WithTx(tx *gorm.DB) *Repository {
	clone := *r
	clone.queues, clone.inTx = queues{}, true
	if err := session.Usable(tx); err != nil {
		clone.err = fmt.Errorf("WithTx: %w", err)
		return &clone
	}
	clone.session, clone.err = r.session.On(tx), nil
	return &clone
}

// Format prints r as its type and table with every verb of fmt: what else it holds
// changes while calls are under way, and their nonces are part of it. A nil
// Repository is <nil>.
func (r *Repository) Format(f fmt.State, _ rune) {
	if r == nil {
		_, _ = io.WriteString(f, "<nil>")
		return
	}
	_, _ = fmt.Fprintf(f, "dpopnonce.Repository(%s)", r.table)
}

// errTransaction is the error of what cannot run in a caller's transaction.
var errTransaction = errors.New("not possible inside a transaction")
