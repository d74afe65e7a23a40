package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// sqlite is a file under WAL and synchronous FULL, with the stores that are
// compared on it.
type sqlite struct {
	pool   *sql.DB
	db     *gorm.DB
	stores []store
}

func openSQLite(ctx context.Context, dir string) (*sqlite, error) {
	dsn := "file:" + filepath.Join(dir, "nonces.db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate"
	pool, err := openPool("sqlite3", dsn)
	if err != nil {
		return nil, err
	}
	db, err := gorm.Open(gormsqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	libraries, err := library(ctx, db) // creates the table
	if err != nil {
		return nil, err
	}
	// SQLite numbers $2 by its position, ?2 by its name.
	hand, err := bySQL(pool, func(query string) string { return strings.ReplaceAll(query, "$", "?") },
		func(t time.Time) any { return t.Format(sqliteLayout) })
	if err != nil {
		return nil, err
	}
	return &sqlite{pool, db, append([]store{hand}, libraries...)}, nil
}

func (s *sqlite) comparison() comparison {
	return comparison{
		database: "SQLite", picture: "sqlite.svg", stores: s.stores, callers: []int{1, 8, 32},
		clear: func(ctx context.Context) error {
			if _, err := s.pool.ExecContext(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
			_, err := s.add(ctx, "live", 50_000)
			return err
		},
		add: s.add,
	}
}

const sqliteLayout = "2006-01-02 15:04:05+00:00"

// add stores n nonces and returns them.
func (s *sqlite) add(ctx context.Context, prefix string, n int) ([]string, error) {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	insert, err := tx.PrepareContext(ctx, strings.ReplaceAll(insertSQL, "$", "?"))
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	now := time.Now().UTC()
	nonces := texts(prefix, n)
	for _, nonce := range nonces {
		if _, err := insert.ExecContext(ctx, uuid.NewString(), nonce, now.Format(sqliteLayout), now.Add(ttl).Format(sqliteLayout)); err != nil {
			return nil, err
		}
	}
	return nonces, tx.Commit()
}
