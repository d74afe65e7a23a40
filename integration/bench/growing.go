package main

import (
	"context"
)

// grow measures the tables of a database, and drops them.
func (t task) grow(ctx context.Context, r report, g *growth, sizes []int) error {
	if err := g.run(ctx, t, sizes...); err != nil {
		return err
	}
	for _, s := range g.sizes {
		if err := g.exec(ctx, "DROP TABLE {table}", s); err != nil {
			return err
		}
	}
	*r.growths = append(*r.growths, g)
	return nil
}

func (s *server) grow(ctx context.Context, t task, r report) error {
	pool, err := openPool("pgx", s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	db, err := onPostgres(pool)
	if err != nil {
		return err
	}
	return t.grow(ctx, r, &growth{database: "PostgreSQL", db: db, callers: []int{1, 8, 32, 128}, load: s.load,
		empty: "TRUNCATE {table}", tidy: "VACUUM ANALYZE {table}",
		written: func(ctx context.Context, table string) (log, disk int64, err error) {
			err = s.admin.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_total_relation_size($1)", table).Scan(&log, &disk)
			return log, disk, err
		}}, t.tables)
}

func (m *mariadb) grow(ctx context.Context, t task, r report) error {
	db, err := onMariaDB(m.pool)
	if err != nil {
		return err
	}
	return t.grow(ctx, r, &growth{database: "MariaDB", db: db, callers: []int{1, 8, 32, 128}, load: m.load,
		empty: "TRUNCATE {table}", tidy: "ANALYZE TABLE {table}",
		written: func(ctx context.Context, table string) (log, disk int64, err error) {
			err = m.pool.QueryRowContext(ctx, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_OS_LOG_WRITTEN'").Scan(&log)
			return log, 0, err // a file grows by megabytes
		}}, t.tables[:2])
}

func (s *sqlite) grow(ctx context.Context, t task, r report) error {
	return t.grow(ctx, r, &growth{database: "SQLite", db: s.db, callers: []int{1, 8, 32}, load: s.load,
		empty: "DELETE FROM {table}", tidy: "ANALYZE {table}",
		written: func(ctx context.Context, _ string) (log, disk int64, err error) {
			err = s.pool.QueryRowContext(ctx, `SELECT (page_count - freelist_count) * page_size
				FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&disk)
			return 0, disk, err // the log is written over
		}}, t.tables[:2])
}
