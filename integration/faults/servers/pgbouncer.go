package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a pooler in transaction mode.
type PgBouncer struct {
	process
	port int
}

// NewPgBouncer prepares a pooler in front of p. It does not start it.
func NewPgBouncer(parent string, p *Postgres) (*PgBouncer, error) {
	pgbouncer, err := find("PgBouncer", "pgbouncer", "pgbouncer")
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{}
	b.name, b.user = "pgbouncer", "postgres"
	if b.dir, err = newDir(parent, "pgbouncer", b.user); err != nil {
		return nil, err
	}
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 32
ignore_startup_parameters = extra_float_digits
`, p.port, b.port)
	b.command = []string{pgbouncer, config}
	return b, os.WriteFile(config, []byte(text), 0o644)
}

// DSN returns the DSN of the pooler, with the setting that the README recommends.
func (b *PgBouncer) DSN() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&default_query_exec_mode=cache_describe", b.port)
}

// Start starts the pooler.
func (b *PgBouncer) Start() error {
	return b.start(func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, b.DSN())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Kill kills the pooler.
func (b *PgBouncer) Kill() error { return b.kill() }

// Stop shuts the pooler down.
func (b *PgBouncer) Stop() { b.stop(syscall.SIGTERM) }
