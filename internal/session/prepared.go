package session

import (
	"context"
	"database/sql"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce/dialects"
)

// prepared is a pool that prepares the statements of a session, once for each of
// its connections: a *sql.Stmt does that. Those of the application's callbacks
// run unprepared.
type prepared struct {
	*sql.DB
	dialect    dialects.Dialect
	statements map[string]*preparation // by the text that GORM makes of them
	refused    atomic.Int64            // until when nothing is prepared, as Unix nanoseconds
}

// A preparation is a statement, once it is prepared.
type preparation struct {
	atomic.Pointer[sql.Stmt]
	wanted atomic.Bool // by a transaction, which cannot wait for a second connection
}

// newPrepared returns the pool for statements that are otherwise sent to db.
func newPrepared(db *sql.DB, d dialects.Dialect, statements map[string]statement) *prepared {
	p := &prepared{DB: db, dialect: d, statements: map[string]*preparation{}}
	for _, s := range statements {
		p.statements[strings.Join(s.texts, "?")] = new(preparation)
		for size := leastInList; s.lists && size <= mostInList; size *= 2 {
			p.statements[s.withLists(size)] = new(preparation)
		}
	}
	// The pool would keep the statements for as long as it lives.
	runtime.SetFinalizer(p, (*prepared).close)
	return p
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return run(ctx, p, p.statement(ctx, query), query, args, (*sql.Stmt).ExecContext, p.DB.ExecContext)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return run(ctx, p, p.statement(ctx, query), query, args, (*sql.Stmt).QueryContext, p.DB.QueryContext)
}

// run runs s, and query as it is where there is no s or the server refuses it.
func run[R any](ctx context.Context, p *prepared, s *sql.Stmt, query string, args []any,
	asPrepared func(*sql.Stmt, context.Context, ...any) (R, error),
	asText func(context.Context, string, ...any) (R, error),
) (R, error) {
	if s != nil {
		result, err := asPrepared(s, ctx, args...)
		if !p.isRefused(err) {
			return result, err
		}
	}
	return asText(ctx, query, args...)
}

// statement returns the prepared statement of query, or nil if query runs
// unprepared. A caller does not wait while another prepares the same: the other's
// context could end, and would fail both.
func (p *prepared) statement(ctx context.Context, query string) *sql.Stmt {
	at := p.statements[query]
	if at == nil {
		return nil
	}
	if s := at.Load(); s != nil || time.Now().UnixNano() < p.refused.Load() {
		return s
	}
	s, err := p.DB.PrepareContext(ctx, query)
	if err != nil { // query runs unprepared, and returns an error of its own if it fails as well
		p.isRefused(err)
		return nil
	}
	return at.keep(s)
}

// keep stores a statement, unless another caller was first, and returns what is
// there.
func (at *preparation) keep(s *sql.Stmt) *sql.Stmt {
	if !at.CompareAndSwap(nil, s) {
		giveBack(s)
	}
	return at.Load()
}

// errClosed is the text of package sql's error for a statement that is closed.
const errClosed = "sql: statement is closed"

// isRefused reports whether err is of a statement that did not run, because it is
// not prepared. Where the server refuses to keep it, all are given back for a
// minute.
func (p *prepared) isRefused(err error) bool {
	if err == nil {
		return false
	}
	if fault, _ := p.dialect.Fault(err); fault != dialects.Unprepared {
		return err.Error() == errClosed
	}
	p.refused.Store(time.Now().Add(time.Minute).UnixNano())
	p.close()
	return true
}

// close gives the statements back.
func (p *prepared) close() {
	for _, at := range p.statements {
		if s := at.Swap(nil); s != nil {
			giveBack(s)
		}
	}
}

// giveBack closes a statement, and does not wait: its connection may be running
// another caller's, however long that takes.
func giveBack(s *sql.Stmt) { go func() { _ = s.Close() }() }
