package main

import (
	"context"
	"sync/atomic"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// A database counts the statements that pass GORM's logger: all of the library's,
// but for BEGIN and COMMIT.
type database struct {
	*gorm.DB
	statements *atomic.Int64
}

// counter is a logger that counts.
type counter struct {
	logger.Interface
	statements *atomic.Int64
}

func (c counter) LogMode(logger.LogLevel) logger.Interface { return c }

func (c counter) Trace(context.Context, time.Time, func() (string, int64), error) {
	c.statements.Add(1)
}

func openSQLite(file string) (*database, error) {
	return open(sqlite.Open("file:" + file + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"))
}

func openPostgres(dsn string) (*database, error) { return open(postgres.Open(dsn)) }

func open(dialector gorm.Dialector) (*database, error) {
	statements := new(atomic.Int64)
	db, err := gorm.Open(dialector, &gorm.Config{Logger: counter{logger.Discard, statements}})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(8)
	return &database{db, statements}, nil
}

func (d *database) close() {
	if pool, err := d.DB.DB(); err == nil {
		_ = pool.Close()
	}
}

// table is made anew for each server.
const table = "flood_nonces"

func (d *database) rows(ctx context.Context) (n int64, err error) {
	return n, d.WithContext(ctx).Raw("SELECT count(*) FROM " + table).Scan(&n).Error
}
