package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// compareSQLite compares stores on a file under WAL and synchronous FULL.
func compareSQLite(ctx context.Context, rounds int, length time.Duration) (map[cell][]sample, []store, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	dsn := "file:" + filepath.Join(dir, "nonces.db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate"
	pool, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	db, err := gorm.Open(gormsqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, nil, err
	}
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		return nil, nil, err
	}
	if err := r.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	plain, err := byLibrary("dpopnonce", db)
	if err != nil {
		return nil, nil, err
	}
	shared, err := byLibrary("dpopnonce, group commit", db, dpopnonce.WithGroupCommit())
	if err != nil {
		return nil, nil, err
	}
	hand, err := bySQLite(pool)
	if err != nil {
		return nil, nil, err
	}
	stores := []store{hand, plain, shared}
	prefix := 0
	samples, err := comparison{
		database: "SQLite", stores: stores, callers: sqliteCallers,
		begin: func(context.Context) error { return nil },
		rows: func(ctx context.Context, _ string, _ int, length time.Duration) ([]string, error) {
			prefix++
			return addSQLite(ctx, pool, strconv.Itoa(prefix), int(12000*length.Seconds()))
		},
	}.run(ctx, rounds, length)
	return samples, stores, err
}

const sqliteLayout = "2006-01-02 15:04:05+00:00"

// bySQLite runs the statements written by hand, prepared, each in a transaction of
// its own.
func bySQLite(pool *sql.DB) (store, error) {
	statements := map[string]*sql.Stmt{}
	for _, query := range []string{insertSQL, updateSQL, selectSQL} {
		s, err := pool.Prepare(strings.ReplaceAll(query, "$", "?")) // SQLite numbers $2 by its position, ?2 by its name
		if err != nil {
			return store{}, err
		}
		statements[query] = s
	}
	texts := func(values []any) []any {
		all := make([]any, len(values))
		for i, v := range values {
			if at, ok := v.(time.Time); ok {
				v = at.Format(sqliteLayout)
			}
			all[i] = v
		}
		return all
	}
	return byHand("database/sql by hand", func(ctx context.Context, query string, values ...any) (int64, error) {
		done, err := statements[query].ExecContext(ctx, texts(values)...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	}, func(ctx context.Context, values ...any) (used, fresh bool, err error) {
		err = statements[selectSQL].QueryRowContext(ctx, texts(values)...).Scan(&used, &fresh)
		return used, fresh, err
	}), nil
}

func addSQLite(ctx context.Context, pool *sql.DB, prefix string, n int) ([]string, error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	now := time.Now().UTC()
	nonces := make([]string, n)
	for i := range nonces {
		nonces[i] = fmt.Sprintf("%s-%08d", prefix, i)
		_, err := tx.ExecContext(ctx, insertSQL, uuid.NewString(), nonces[i], now.Format(sqliteLayout), now.Add(ttl).Format(sqliteLayout))
		if err != nil {
			return nil, err
		}
	}
	return nonces, tx.Commit()
}

// syncCost returns the median time of a small write and its fsync in TMPDIR.
func syncCost() (time.Duration, error) {
	f, err := os.CreateTemp("", "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var all []time.Duration
	for range 101 {
		start := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	return percentile(all, 0.5), nil
}
