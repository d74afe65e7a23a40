package session

import (
	"context"
	"database/sql"
)

// preparedTx is a transaction of the session's own that runs what the pool has
// prepared.
type preparedTx struct {
	*sql.Tx
	pool *prepared
}

func (t preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return run(ctx, t.pool, t.statement(ctx, query), query, args, (*sql.Stmt).ExecContext, t.Tx.ExecContext)
}

func (t preparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return run(ctx, t.pool, t.statement(ctx, query), query, args, (*sql.Stmt).QueryContext, t.Tx.QueryContext)
}

// statement returns the prepared statement of query, or nil if query runs
// unprepared. A transaction has no second connection to prepare it on: it is
// prepared before the next transaction.
func (t preparedTx) statement(ctx context.Context, query string) *sql.Stmt {
	at := t.pool.statements[query]
	if at == nil {
		return nil
	}
	s := at.Load()
	if s == nil {
		at.wanted.Store(true)
		return nil
	}
	return t.StmtContext(ctx, s)
}

// prepareWanted prepares what transactions had to run unprepared.
func (p *prepared) prepareWanted(ctx context.Context) {
	for query, at := range p.statements {
		if at.wanted.Load() {
			p.statement(ctx, query)
		}
	}
}
