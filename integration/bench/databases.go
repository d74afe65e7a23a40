package main

import (
	"context"
	"errors"
	"os"
	"time"
)

func (t task) postgres(ctx context.Context, r report) error {
	dsn := os.Getenv("POSTGRES_DSN")
	if dsn == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench")
	}
	s, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	if path := findPgbench(); path != "" && t.pgbench {
		s.stores = append(s.stores, s.byPgbench(path))
	}
	for split, name := range []string{"the shared statement by hand", "the same, half the callers in each"} {
		limit, err := s.byShared(name, t.length, split+1)
		if err != nil {
			return err
		}
		s.stores = append(s.stores, limit)
	}
	var version string
	if err := s.admin.QueryRow(ctx, "SELECT 'PostgreSQL ' || current_setting('server_version')").Scan(&version); err != nil {
		return err
	}
	samples, err := t.compare(ctx, s.comparison(), r, version)
	if err != nil {
		return err
	}
	if t.does("facts") {
		r.sharing(samples)
		facts, err := s.facts(ctx, t.issued)
		if err != nil {
			return err
		}
		issue, err := sealedIssue(ctx, s.stores)
		if err != nil {
			return err
		}
		r.facts("PostgreSQL", append(facts, issue))
	}
	if t.does("sweep") {
		swept, err := s.sweepUnderLoad(ctx, t)
		if err != nil {
			return err
		}
		r.sweep(swept)
	}
	if t.does("growth") {
		return s.grow(ctx, t, r)
	}
	return nil
}

func (t task) mariadb(ctx context.Context, r report) error {
	dsn := os.Getenv("MYSQL_DSN")
	if dsn == "" {
		return errors.New("MYSQL_DSN is not set: run make bench")
	}
	m, err := openMariaDB(ctx, dsn)
	if err != nil {
		return err
	}
	defer m.pool.Close()
	if _, err := t.compare(ctx, m.comparison(), r, m.version); err != nil {
		return err
	}
	if t.does("growth") {
		if err := m.grow(ctx, t, r); err != nil {
			return err
		}
	}
	if !t.does("facts") {
		return nil
	}
	pool, trips, err := m.counting(dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	db, err := onMariaDB(pool)
	if err != nil {
		return err
	}
	stores, err := library(ctx, db)
	if err != nil {
		return err
	}
	facts, err := tripFacts(ctx, stores, trips)
	if err != nil {
		return err
	}
	r.facts("MariaDB", facts)
	return nil
}

func (t task) sqlite(ctx context.Context, r report) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := openSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	if _, err = t.compare(ctx, s.comparison(), r, "SQLite, WAL, synchronous FULL"); err != nil || !t.does("growth") {
		return err
	}
	return s.grow(ctx, t, r)
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
