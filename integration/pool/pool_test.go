// Package pool runs the suite through ConnPools that wrap a *sql.DB, as tracing
// and metrics do.
package pool

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// metered counts the statements of a pool and of its transactions.
type metered struct {
	gorm.ConnPool
	statements *atomic.Int64
}

func (m metered) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	m.statements.Add(1)
	return m.ConnPool.ExecContext(ctx, query, args...)
}

func (m metered) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	m.statements.Add(1)
	return m.ConnPool.QueryContext(ctx, query, args...)
}

func (m metered) GetDBConn() (*sql.DB, error) {
	if pool, is := m.ConnPool.(*sql.DB); is {
		return pool, nil
	}
	return m.ConnPool.(gorm.GetDBConnector).GetDBConn()
}

func (m metered) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	var tx gorm.ConnPool
	var err error
	switch pool := m.ConnPool.(type) {
	case gorm.TxBeginner:
		tx, err = pool.BeginTx(ctx, opts)
	case gorm.ConnPoolBeginner:
		tx, err = pool.BeginTx(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	return &meteredTx{metered{tx, m.statements}}, nil
}

type meteredTx struct{ metered }

func (m *meteredTx) Commit() error   { return m.ConnPool.(gorm.TxCommitter).Commit() }
func (m *meteredTx) Rollback() error { return m.ConnPool.(gorm.TxCommitter).Rollback() }
func (m *meteredTx) StmtContext(ctx context.Context, s *sql.Stmt) *sql.Stmt {
	return m.ConnPool.(gorm.Tx).StmtContext(ctx, s)
}

// Each database has two of the wrappings, and each wrapping two of the databases.
func TestConformance(t *testing.T) {
	dialectors := map[string]func(testing.TB) gorm.Dialector{
		"sqlite": func(tb testing.TB) gorm.Dialector {
			return sqlite.Open("file:" + dbtest.SQLite(tb) + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")
		},
		"postgres": func(tb testing.TB) gorm.Dialector {
			return postgres.Open(dbtest.Postgres(tb, "default_transaction_isolation=serializable"))
		},
		"mysql": func(tb testing.TB) gorm.Dialector { return mysql.Open(dbtest.MySQL(tb)) },
	}
	for wrapping, c := range map[string]struct {
		config    gorm.Config
		again     gorm.Session
		databases []string
	}{
		"a wrapper":                          {databases: []string{"sqlite", "mysql"}},
		"a wrapper over prepared statements": {config: gorm.Config{PrepareStmt: true}, databases: []string{"postgres", "mysql"}},
		"prepared statements over a wrapper": {again: gorm.Session{PrepareStmt: true}, databases: []string{"sqlite", "postgres"}},
	} {
		for _, name := range c.databases {
			t.Run(name+"/"+wrapping, func(t *testing.T) {
				t.Parallel()
				var statements atomic.Int64
				dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
					config := c.config
					db := dbtest.Open(tb, dialectors[name](tb), &config)
					pool := metered{db.ConnPool, &statements}
					db.ConnPool, db.Statement.ConnPool = pool, pool
					return db.Session(&c.again)
				}, dpopnonce.WithGroupCommit())
				if statements.Load() == 0 {
					t.Error("the statements went past the wrapper")
				}
			})
		}
	}
}
