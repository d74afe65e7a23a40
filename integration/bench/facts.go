package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand"
	"runtime"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/wire"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// A fact is a figure other than a rate.
type fact struct{ name, value string }

// facts measures WAL, HOT updates, round trips and allocations.
func (s *server) facts(ctx context.Context, dsn string, issued int) ([]fact, error) {
	if _, err := s.admin.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_walinspect"); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	trips := wire.Count(config)
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	db, err := gorm.Open(gormpg.New(gormpg.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	plain, err := byLibrary("plain", db)
	if err != nil {
		return nil, err
	}
	shared, err := byLibrary("shared", db, dpopnonce.WithGroupCommit())
	if err != nil {
		return nil, err
	}

	// The library fills the table, as in the first minutes of a service.
	if err := s.fill(ctx, 0); err != nil {
		return nil, err
	}
	if _, err := run(ctx, shared, "issue", 128, time.Duration(issued)*40*time.Microsecond, nil); err != nil {
		return nil, err
	}
	for {
		var n int
		if err := s.admin.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			return nil, err
		}
		if n >= issued {
			break
		}
		if _, err := run(ctx, shared, "issue", 128, 500*time.Millisecond, nil); err != nil {
			return nil, err
		}
	}
	if _, err := s.admin.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
		return nil, err
	}

	var all []fact
	add := func(name, format string, values ...any) {
		all = append(all, fact{name, fmt.Sprintf(format, values...)})
	}
	const calls = 2000
	var nonces []string
	wal, err := s.wal(ctx, "combined_size", func() error {
		for range calls {
			nonce, err := plain.issue(ctx)
			if err != nil {
				return err
			}
			nonces = append(nonces, nonce)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	add(fmt.Sprintf("WAL per issue right after a CHECKPOINT, %d rows or more, full-page images included", issued), "%d B", wal/calls)

	wal, err = s.wal(ctx, "record_size", func() error {
		for _, nonce := range nonces {
			if err := plain.consume(ctx, nonce); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	add("WAL per consume, without full-page images", "%d B", wal/calls)

	rows, err := s.add(ctx, "shared", 40_000)
	if err != nil {
		return nil, err
	}
	// In random order: nonces that are stored side by side would update the same
	// page many times in one transaction.
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var done int
	wal, err = s.wal(ctx, "record_size", func() error {
		got, err := run(ctx, shared, "consume", 128, time.Minute, rows)
		done = len(got.latencies)
		return err
	})
	if err != nil {
		return nil, err
	}
	add("WAL per consume with group commit, 128 callers, without full-page images", "%d B", wal/int64(done))

	for _, c := range []struct {
		name string
		call func() error
	}{
		{"Issue", func() error { _, err := plain.issue(ctx); return err }},
		{"Check", func() error { return plain.check(ctx, nonces[0]) }},
		{"Consume", func() error {
			err := plain.consume(ctx, rows[0])
			rows = rows[1:]
			return err
		}},
		{"Rotate", func() (err error) { nonces[0], err = plain.rotate(ctx, nonces[0]); return err }},
	} {
		switch c.name {
		case "Consume":
			if rows, err = s.add(ctx, "allocations", 1100); err != nil {
				return nil, err
			}
		case "Check", "Rotate":
			if nonces[0], err = plain.issue(ctx); err != nil {
				return nil, err
			}
		}
		n, a, err := perCall(trips.Load, c.call)
		if err != nil {
			return nil, err
		}
		add("round trips and allocations per "+c.name, "%.2f, %.0f", n, a)
	}

	// Connections report their statistics when they end.
	if err := pool.Close(); err != nil {
		return nil, err
	}
	share, err := s.hot(ctx, dsn)
	if err != nil {
		return nil, err
	}
	add("HOT share of consumes", "%.1f %%", share)
	return all, nil
}

// wal runs a checkpoint and then fn, and returns the WAL that fn wrote, by a
// column of pg_get_wal_stats.
func (s *server) wal(ctx context.Context, column string, fn func() error) (bytes int64, err error) {
	var from, to string
	if _, err := s.admin.Exec(ctx, "CHECKPOINT"); err != nil {
		return 0, err
	}
	if err := s.admin.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&from); err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	// A synchronous commit also flushes the asynchronous ones before it.
	if _, err := s.admin.Exec(ctx, "CREATE TEMPORARY TABLE flush AS SELECT 1; DROP TABLE flush"); err != nil {
		return 0, err
	}
	if err := s.admin.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&to); err != nil {
		return 0, err
	}
	err = s.admin.QueryRow(ctx, "SELECT sum("+column+")::bigint FROM pg_get_wal_stats($1::pg_lsn, $2::pg_lsn)", from, to).Scan(&bytes)
	return bytes, err
}

// perCall returns the round trips and allocations of one call.
func perCall(trips func() int64, call func() error) (n, allocations float64, err error) {
	for range 50 { // prepares the statements
		if err := call(); err != nil {
			return 0, 0, err
		}
	}
	const calls = 1000
	var before, after runtime.MemStats
	start := trips()
	runtime.ReadMemStats(&before)
	for range calls {
		if err := call(); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(trips()-start) / calls, float64(after.Mallocs-before.Mallocs) / calls, nil
}

// hot rotates on a new pool and returns the percentage of updates that wrote no
// index.
func (s *server) hot(ctx context.Context, dsn string) (share float64, err error) {
	read := func() (updated, hot float64, err error) {
		err = s.admin.QueryRow(ctx, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table).Scan(&updated, &hot)
		return updated, hot, err
	}
	time.Sleep(11 * time.Second) // idle connections report within ten seconds
	updated, hot, err := read()
	if err != nil {
		return 0, err
	}
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		return 0, err
	}
	pool.SetMaxIdleConns(poolSize)
	db, err := gorm.Open(gormpg.New(gormpg.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return 0, err
	}
	library, err := byLibrary("hot", db)
	if err != nil {
		return 0, err
	}
	const length = 2 * time.Second
	if _, err := run(ctx, store{issue: library.issue, rotate: library.rotate}, "rotate", 32, length, nil); err != nil {
		return 0, err
	}
	if err := pool.Close(); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // closed connections report their statistics
	u, h, err := read()
	return 100 * (h - hot) / (u - updated), err
}
