package dpopnonce_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// wrapper is a ConnPool of an application's, which begins no transaction.
type wrapper struct{ gorm.ConnPool }

func (w wrapper) GetDBConn() (*sql.DB, error) {
	switch inner := w.ConnPool.(type) {
	case *sql.DB:
		return inner, nil
	case gorm.GetDBConnector:
		return inner.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}

// beginner is a wrapper that wraps its transactions as well.
type beginner struct{ wrapper }

type wrappedTx struct{ *sql.Tx }

func (b beginner) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	pool, err := b.GetDBConn()
	if err != nil {
		return nil, err
	}
	tx, err := pool.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &wrappedTx{tx}, nil
}

// GetDBConn makes a transaction look like a pool.
func (w *wrappedTx) GetDBConn() (*sql.DB, error) { return new(sql.DB), nil }

// opaque is a ConnPool that gives no pool.
type opaque struct{ gorm.ConnPool }

// giving is opaque and gives what it was told.
type giving struct {
	opaque
	pool *sql.DB
	err  error
}

func (g giving) GetDBConn() (*sql.DB, error) { return g.pool, g.err }

// lentConn is a connection, and gives its pool.
type lentConn struct {
	*sql.Conn
	pool *sql.DB
}

func (l lentConn) GetDBConn() (*sql.DB, error) { return l.pool, nil }

// through returns db with another ConnPool.
func through(db *gorm.DB, pool gorm.ConnPool) *gorm.DB {
	db = db.Session(&gorm.Session{NewDB: true, Context: context.Background()})
	db.ConnPool, db.Statement.ConnPool = pool, pool
	return db
}

// prepared returns GORM's pool of prepared statements over another one.
func prepared(db *gorm.DB, pool gorm.ConnPool) gorm.ConnPool {
	return through(db, pool).Session(&gorm.Session{PrepareStmt: true}).Statement.ConnPool
}

// wrappings returns, by name, what an application may put around the pool of db.
func wrappings(t *testing.T, db *gorm.DB) map[string]gorm.ConnPool {
	t.Helper()
	pool := poolOf(t, db)
	return map[string]gorm.ConnPool{
		"wrapper":                         wrapper{pool},
		"wrapper of a wrapper":            wrapper{wrapper{pool}},
		"prepared, over a wrapper":        prepared(db, wrapper{pool}),
		"wrapper of prepared":             wrapper{prepared(db, pool)},
		"wrapper with transactions":       beginner{wrapper{pool}},
		"prepared, over one with them":    prepared(db, beginner{wrapper{pool}}),
		"one with them, over all of that": beginner{wrapper{prepared(db, beginner{wrapper{pool}})}},
		"wrapper with the methods of a pool": struct {
			*sql.DB
			gorm.GetDBConnector
		}{pool, wrapper{pool}},
	}
}

func poolOf(t *testing.T, db *gorm.DB) *sql.DB {
	t.Helper()
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func TestWrappedPoolIsAPool(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	migrate(t, db)
	busy, refused := errors.New("database is locked"), errors.New("refused")
	var fail func(n int) error
	attempts := failing(t, db, func(n int, _ *gorm.DB) error { return fail(n) })
	for name, wrapped := range wrappings(t, db) {
		t.Run(name, func(t *testing.T) {
			r, err := dpopnonce.NewRepository(through(db, wrapped))
			if err != nil {
				t.Fatal(err)
			}
			fail = func(n int) error { return map[bool]error{true: busy}[n%2 == 1] }
			*attempts = 0
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil || *attempts != 2 {
				t.Fatalf("%d attempts, %v", *attempts, err)
			}

			// A Rotate is one transaction on SQLite: what it stored goes with its failure.
			fail = func(n int) error { return map[bool]error{true: refused}[n == 2] }
			*attempts = 0
			before := rows(t, db)
			if _, err := r.Rotate(ctx, nonce, time.Minute); !errors.Is(err, refused) || rows(t, db) != before {
				t.Fatalf("%v, and %d rows became %d", err, before, rows(t, db))
			}
			if _, err := r.Rotate(ctx, nonce, time.Minute); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func rows(t *testing.T, db *gorm.DB) (n int) {
	t.Helper()
	if err := db.Raw("SELECT count(*) FROM dpop_nonces").Row().Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWrappedPoolIsRepeatedAtReadCommitted(t *testing.T) {
	ctx := context.Background()
	db := open(t, postgres.Open(postgresDSN(t)+"&default_transaction_isolation=serializable"))
	name := "wrapped_pool_at_read_committed"
	t.Cleanup(func() { db.Exec("DROP TABLE " + name) })
	var level string
	failing(t, db, func(n int, tx *gorm.DB) error {
		if n%2 == 1 {
			return sqlState("40001")
		}
		return tx.Statement.ConnPool.QueryRowContext(ctx, "SHOW transaction_isolation").Scan(&level)
	})
	for wrapping, wrapped := range wrappings(t, db) {
		t.Run(wrapping, func(t *testing.T) {
			r, err := dpopnonce.NewRepository(through(db, wrapped), dpopnonce.WithTable(name))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			level = ""
			if _, err := r.Issue(ctx, time.Minute); err != nil || level != "read committed" {
				t.Fatalf("at %q, %v", level, err)
			}
		})
	}
}

func TestUnknownPoolIsACallersTransaction(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	migrate(t, db)
	pool := poolOf(t, db)
	busy := errors.New("database is locked")
	attempts := failing(t, db, func(int, *gorm.DB) error { return busy })
	once := func(t *testing.T, name string, inside gorm.ConnPool) {
		t.Helper()
		r, err := dpopnonce.NewRepository(through(db, inside))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*dpopnonce.Repository{r, r.WithTx(through(db, inside))} {
			*attempts = 0
			if err := r.Consume(ctx, "nonce", time.Minute); !errors.Is(err, busy) || *attempts != 1 {
				t.Errorf("%s: %d attempts, %v", name, *attempts, err)
			}
		}
	}
	for name, unknown := range map[string]gorm.ConnPool{
		"no GetDBConn":                opaque{pool},
		"GetDBConn returns nil":       giving{opaque: opaque{pool}},
		"GetDBConn fails":             giving{opaque{pool}, pool, errors.New("closed")},
		"prepared, over no GetDBConn": prepared(db, opaque{pool}),
	} {
		once(t, name, unknown)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	once(t, "connection", conn)
	once(t, "connection with GetDBConn", lentConn{conn, pool})
	once(t, "prepared, over a connection", prepared(db, conn))
	for name, wrapped := range wrappings(t, db) {
		tx := through(db, wrapped).Begin()
		if tx.Error != nil {
			continue // it begins none
		}
		once(t, "transaction of "+name, tx.Statement.ConnPool)
		if err := tx.Rollback().Error; err != nil {
			t.Fatal(err)
		}
	}
}
