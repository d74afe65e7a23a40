package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// poolSize is the number of connections of each store.
const poolSize = 32

// A server is PostgreSQL with the stores that are compared on it.
type server struct {
	admin    *pgxpool.Pool
	stores   []store
	library  store // without group commit
	prefixes atomic.Int64
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
	pool, err := pgxpool.NewWithConfig(ctx, config.Copy())
	if err != nil {
		return nil, err
	}
	byStdlib, err := openPool(dsn)
	if err != nil {
		return nil, err
	}
	s := &server{admin: admin, stores: []store{byPGX(pool), bySQL(byStdlib)}}
	usual, err := openGORM(dsn)
	if err != nil {
		return nil, err
	}
	s.stores = append(s.stores, byModel(usual))
	for _, l := range []struct {
		name string
		opts []dpopnonce.Option
	}{{"dpopnonce", nil}, {"dpopnonce, group commit", []dpopnonce.Option{dpopnonce.WithGroupCommit()}}} {
		db, err := openGORM(dsn)
		if err != nil {
			return nil, err
		}
		r, err := dpopnonce.NewRepository(db)
		if err != nil {
			return nil, err
		}
		if err := r.Migrate(ctx); err != nil {
			return nil, err
		}
		library, err := byLibrary(l.name, db, l.opts...)
		if err != nil {
			return nil, err
		}
		s.stores = append(s.stores, library)
		if len(l.opts) == 0 {
			s.library = library
		}
	}
	if path := findPgbench(); path != "" {
		s.stores = append(s.stores, s.byPgbench(path, dsn))
	}
	return s, nil
}

func openPool(dsn string) (*sql.DB, error) {
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	return pool, nil
}

func openGORM(dsn string) (*gorm.DB, error) {
	pool, err := openPool(dsn)
	if err != nil {
		return nil, err
	}
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

// prefix returns a prefix that no nonce has yet.
func (s *server) prefix() string { return strconv.Itoa(int(s.prefixes.Add(1))) }

// add stores n nonces and returns them.
func (s *server) add(ctx context.Context, prefix string, n int) ([]string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	_, err := s.admin.Exec(ctx, `INSERT INTO `+table+` (id, nonce, issued_at, expires_at)
		SELECT gen_random_uuid(), $1 || '-' || to_char(i, 'FM00000000') || '-' || repeat('x', 26), $3, $4
		FROM generate_series(1, $2) AS i`, prefix, n, now, now.Add(ttl))
	if err != nil {
		return nil, err
	}
	nonces := make([]string, n)
	for i := range nonces {
		nonces[i] = fmt.Sprintf("%s-%08d-%026s", prefix, i+1, "")
		nonces[i] = nonces[i][:len(prefix)+10] + "xxxxxxxxxxxxxxxxxxxxxxxxxx"
	}
	return nonces, nil
}

func (s *server) compare(ctx context.Context, rounds int, length time.Duration) (map[cell][]sample, error) {
	var live []string
	return comparison{
		database: "PostgreSQL", stores: s.stores, callers: callerCount,
		begin: func(ctx context.Context) (err error) {
			if err = s.fill(ctx, 50_000); err != nil {
				return err
			}
			live, err = s.add(ctx, "check", 20_000)
			return err
		},
		rows: func(ctx context.Context, operation string, callers int, length time.Duration) ([]string, error) {
			if operation != "consume" {
				return live, nil
			}
			return s.add(ctx, s.prefix(), int(length.Seconds()*float64(6000+500*min(callers, 120))))
		},
	}.run(ctx, rounds, length)
}
