package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	"github.com/attesto/dpopnonce/integration/wire"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// facts measures WAL, HOT updates, and what calls cost.
func (s *server) facts(ctx context.Context, issued int) ([]fact, error) {
	if _, err := s.admin.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_walinspect"); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(s.dsn)
	if err != nil {
		return nil, err
	}
	trips := wire.Count(config)
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	db, err := onPostgres(pool)
	if err != nil {
		return nil, err
	}
	stores, err := library(ctx, db)
	if err != nil {
		return nil, err
	}
	plain, shared := named(stores, plain), named(stores, group)

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
	const issues = 2000
	var nonces []string
	wal, err := s.wal(ctx, "combined_size", func() error {
		for range issues {
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
	add(fmt.Sprintf("WAL per issue right after a CHECKPOINT, %d rows or more, full-page images included", issued), "%d B", wal/issues)

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
	add("WAL per consume, without full-page images", "%d B", wal/issues)

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

	calls, err := tripFacts(ctx, stores, trips)
	if err != nil {
		return nil, err
	}
	all = append(all, calls...)

	// Connections report their statistics when they end.
	if err := pool.Close(); err != nil {
		return nil, err
	}
	share, err := s.hot(ctx)
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

// hot rotates on a new pool and returns the percentage of updates that wrote no
// index.
func (s *server) hot(ctx context.Context) (share float64, err error) {
	read := func() (updated, hot float64, err error) {
		err = s.admin.QueryRow(ctx, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table).Scan(&updated, &hot)
		return updated, hot, err
	}
	time.Sleep(11 * time.Second) // idle connections report within ten seconds
	updated, hot, err := read()
	if err != nil {
		return 0, err
	}
	pool, err := openPool("pgx", s.dsn)
	if err != nil {
		return 0, err
	}
	db, err := onPostgres(pool)
	if err != nil {
		return 0, err
	}
	stores, err := library(ctx, db)
	if err != nil {
		return 0, err
	}
	const length = 2 * time.Second
	if _, err := run(ctx, named(stores, plain), "rotate", 32, length, nil); err != nil {
		return 0, err
	}
	if err := pool.Close(); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // closed connections report their statistics
	u, h, err := read()
	return 100 * (h - hot) / (u - updated), err
}
