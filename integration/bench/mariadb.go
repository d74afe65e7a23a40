package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce/integration/wire"
	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// mariadb is a server with the stores that are compared on it.
type mariadb struct {
	pool    *sql.DB
	version string
	stores  []store
}

func openMariaDB(ctx context.Context, dsn string) (*mariadb, error) {
	pool, err := openPool("mysql", dsn)
	if err != nil {
		return nil, err
	}
	m := &mariadb{pool: pool}
	var flush int
	if err := pool.QueryRowContext(ctx, "SELECT CONCAT('MariaDB ', version()), @@innodb_flush_log_at_trx_commit").Scan(&m.version, &flush); err != nil {
		return nil, err
	}
	if flush != 1 {
		return nil, fmt.Errorf("innodb_flush_log_at_trx_commit is %d, want 1", flush)
	}
	db, err := onMariaDB(pool)
	if err != nil {
		return nil, err
	}
	libraries, err := library(ctx, db) // creates the table
	if err != nil {
		return nil, err
	}
	byDriver, err := bySQL(pool, forMariaDB, func(t time.Time) any { return t })
	if err != nil {
		return nil, err
	}
	m.stores = append([]store{byDriver, byModel(db)}, libraries...)
	return m, nil
}

func onMariaDB(pool gorm.ConnPool) (*gorm.DB, error) {
	return gorm.Open(gormmysql.New(gormmysql.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
}

var numbered = regexp.MustCompile(`\$\d`)

// forMariaDB rewrites a statement, where a duplicate is an error.
func forMariaDB(query string) string {
	return numbered.ReplaceAllString(strings.TrimSuffix(query, noConflict), "?")
}

func (m *mariadb) comparison() comparison {
	return comparison{
		database: "MariaDB", picture: "mariadb.svg", stores: m.stores, callers: []int{1, 8, 32, 128},
		clear: func(ctx context.Context) error {
			if _, err := m.pool.ExecContext(ctx, "TRUNCATE "+table); err != nil {
				return err
			}
			if _, err := m.add(ctx, "live", 50_000); err != nil {
				return err
			}
			_, err := m.pool.ExecContext(ctx, "ANALYZE TABLE "+table)
			return err
		},
		add: m.add,
	}
}

// add stores n nonces and returns them.
func (m *mariadb) add(ctx context.Context, prefix string, n int) ([]string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	_, err := m.pool.ExecContext(ctx, fmt.Sprintf(`INSERT INTO %s (id, nonce, issued_at, expires_at)
		SELECT uuid(), concat(?, '-', lpad(seq, 8, '0'), '-', repeat('x', 26)), ?, ? FROM seq_1_to_%d`, table, n), prefix, now, now.Add(ttl))
	return texts(prefix, n), err
}

// counting returns a pool whose connections count their round trips.
func (m *mariadb) counting(dsn string) (*sql.DB, *atomic.Int64, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, nil, err
	}
	dial, trips := wire.Dial((&net.Dialer{}).DialContext)
	config.DialFunc = dial
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(connector), trips, nil
}
