package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is a PostgreSQL server, or one of a pair.
type Postgres struct {
	process
	bin  string
	port int
}

// NewPostgres prepares a server with settings of the form "name=value". It does not
// start it.
func NewPostgres(parent string, settings ...string) (*Postgres, error) {
	p, err := preparePostgres(parent)
	if err != nil {
		return nil, err
	}
	if err := run(p.user, p.dir, filepath.Join(p.bin, "initdb"), "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	return p, p.configure(settings)
}

// StartPostgres prepares a server and starts it.
func StartPostgres(parent string) (*Postgres, error) {
	p, err := NewPostgres(parent)
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

func preparePostgres(parent string) (*Postgres, error) {
	postgres, err := find("PostgreSQL", "postgresql", "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: filepath.Dir(postgres)}
	p.name, p.user, p.host = "postgres", "postgres", loopback
	if p.dir, err = newDir(parent, "postgres", p.user); err != nil {
		return nil, err
	}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	p.command = []string{postgres, "-D", "data", "-p", strconv.Itoa(p.port), "-k", p.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"}
	return p, nil
}

func (p *Postgres) configure(settings []string) error {
	file, err := os.OpenFile(filepath.Join(p.dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, s := range settings {
		if _, err := fmt.Fprintln(file, s); err != nil {
			return err
		}
	}
	return file.Close()
}

// NewStandby prepares a server without data, for CopyFrom.
func NewStandby(parent string) (*Postgres, error) { return preparePostgres(parent) }

// CopyFrom makes p, which must not run, a standby of the running primary.
func (p *Postgres) CopyFrom(primary *Postgres) error {
	if err := os.RemoveAll(filepath.Join(p.dir, "data")); err != nil {
		return err
	}
	return run(p.user, p.dir, filepath.Join(p.bin, "pg_basebackup"), "-D", "data", "-R", "-X", "stream", "-c", "fast",
		"--no-sync", "-d", primary.DSN())
}

// MoveTo makes a server that does not run yet run on a host, and serve the hosts of
// its network.
func (p *Postgres) MoveTo(h Host) error {
	p.host = h
	hba := filepath.Join(p.dir, "hba.conf")
	p.command = append(p.command, "-c", "listen_addresses="+h.Address, "-c", "hba_file="+hba)
	return os.WriteFile(hba, []byte("host all all samenet trust\nhost replication all samenet trust\n"), 0o644)
}

// Set changes a setting of the running server.
func (p *Postgres) Set(ctx context.Context, name, value string) error {
	if err := p.Exec(ctx, "ALTER SYSTEM SET "+name+" = '"+value+"'"); err != nil {
		return err
	}
	return p.Exec(ctx, "SELECT pg_reload_conf()")
}

// DSN returns the DSN of this server alone.
func (p *Postgres) DSN() string {
	return fmt.Sprintf("postgres://postgres@%s:%d/postgres?sslmode=disable", p.host.Address, p.port)
}

// DSNOfPair returns a DSN of the one of two servers that accepts writes.
func DSNOfPair(a, b *Postgres) string {
	hosts := fmt.Sprintf("%s:%d,%s:%d", a.host.Address, a.port, b.host.Address, b.port)
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: hosts, Path: "/postgres",
		RawQuery: "sslmode=disable&target_session_attrs=read-write&connect_timeout=2"}
	return u.String()
}

// Start starts the server and waits until it accepts connections.
func (p *Postgres) Start() error {
	return p.start(func(ctx context.Context) error { return p.Exec(ctx, "SELECT 1") })
}

// Exec runs a statement on a new connection.
func (p *Postgres) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// Query reads the first row of a query.
func (p *Postgres) Query(ctx context.Context, sql string, to ...any) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, sql).Scan(to...)
}

// Kill kills all processes of the server at once. The kernel still writes what the
// server gave it, unlike after a loss of power.
func (p *Postgres) Kill() error { return p.kill() }

// Stop shuts the server down.
func (p *Postgres) Stop() { p.stop(syscall.SIGINT) }
