package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// open returns a database that it has reached, and a function that closes it.
func open(ctx context.Context, dsn string) (*gorm.DB, func(), error) {
	remove := func() {}
	var dialector gorm.Dialector
	if dsn == "" {
		dir, err := os.MkdirTemp("", "dpopnonce-quickstart-")
		if err != nil {
			return nil, nil, err
		}
		remove = func() { _ = os.RemoveAll(dir) }
		dialector = sqlite.Open("file:" + filepath.Join(dir, "s.nonces.db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate")
	} else {
		dialector = postgres.Open(dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard, DisableAutomaticPing: true})
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		remove()
		return nil, nil, err
	}
	closeDB := func() {
		_ = pool.Close()
		remove()
	}
	ping, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := pool.PingContext(ping); err != nil {
		closeDB()
		return nil, nil, fmt.Errorf("connect to the database: %w", err)
	}
	return db, closeDB, nil
}

// movedClock replaces waiting: it runs ahead of the time by a given duration.
type movedClock struct{ ahead atomic.Int64 }

func (c *movedClock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *movedClock) Forward(d time.Duration) { c.ahead.Add(int64(d)) }
