package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// poolSize is the number of connections of each pool. The stores take turns, and
// all but pgx share one.
const poolSize = 32

// A server is PostgreSQL with the stores that are compared on it.
type server struct {
	admin  *pgxpool.Pool
	dsn    string
	stores []store
}

func openPostgres(ctx context.Context, dsn string) (*server, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = poolSize
	admin, err := pgxpool.NewWithConfig(ctx, config.Copy())
	if err != nil {
		return nil, err
	}
	if err := durable(ctx, admin); err != nil {
		return nil, err
	}
	byPool, err := pgxpool.NewWithConfig(ctx, config.Copy())
	if err != nil {
		return nil, err
	}
	pool, err := openPool("pgx", dsn)
	if err != nil {
		return nil, err
	}
	db, err := onPostgres(pool)
	if err != nil {
		return nil, err
	}
	libraries, err := library(ctx, db) // creates the table
	if err != nil {
		return nil, err
	}
	byStdlib, err := bySQL(pool, func(query string) string { return query }, func(t time.Time) any { return t })
	if err != nil {
		return nil, err
	}
	s := &server{admin: admin, dsn: dsn}
	s.stores = append([]store{byPGX(byPool), byStdlib, byModel(db)}, libraries...)
	return s, nil
}

func openPool(driver, dsn string) (*sql.DB, error) {
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	return pool, nil
}

func onPostgres(pool *sql.DB) (*gorm.DB, error) {
	return gorm.Open(gormpg.New(gormpg.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
}

// durable returns an error if the server may lose commits: such figures cannot be
// compared.
func durable(ctx context.Context, admin *pgxpool.Pool) error {
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		if err := admin.QueryRow(ctx, "SHOW "+setting).Scan(&value); err != nil {
			return err
		}
		if value != "on" {
			return fmt.Errorf("%s is %s, want on", setting, value)
		}
	}
	return nil
}

func (s *server) comparison() comparison {
	return comparison{
		database: "PostgreSQL", picture: "postgresql.svg", stores: s.stores, callers: []int{1, 8, 32, 128},
		clear: func(ctx context.Context) error { return s.fill(ctx, 50_000) },
		add:   s.add,
	}
}

// fill replaces the rows of the table by live ones and updates the statistics.
func (s *server) fill(ctx context.Context, rows int) error {
	if _, err := s.admin.Exec(ctx, "TRUNCATE "+table); err != nil {
		return err
	}
	if _, err := s.add(ctx, "live", rows); err != nil {
		return err
	}
	_, err := s.admin.Exec(ctx, "VACUUM ANALYZE "+table)
	return err
}

// add stores n nonces and returns them.
func (s *server) add(ctx context.Context, prefix string, n int) ([]string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	_, err := s.admin.Exec(ctx, `INSERT INTO `+table+` (id, nonce, issued_at, expires_at)
		SELECT gen_random_uuid(), $1 || '-' || to_char(i, 'FM00000000') || '-' || repeat('x', 26), $3, $4
		FROM generate_series(1, $2) AS i`, prefix, n, now, now.Add(ttl))
	return texts(prefix, n), err
}
