package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/powerfs"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// A powered is a database on a disk whose power is cut several times under a load.
type powered struct {
	name      string
	open      func(*env) (machine, error)
	cuts      int
	lies      bool // the disk does
	hasToFail bool
	long      bool // left out of a short run
}

// A machine is a database and the directory that a disk is mounted over.
type machine struct {
	server  server // nil if the workers run the database: SQLite
	data    string
	configs []load.Config
}

func powerCuts(ctx context.Context, e *env) error {
	if err := powerfs.Available(); errors.Is(err, powerfs.ErrNoHelper) {
		return servers.NotInstalled{Server: "fusermount3", Package: "fuse3"}
	} else if err != nil {
		return err
	}
	e.enough = e.scaled(3000, 300) // there are many databases
	few, many := e.scaled(2*e.repeats, 1), e.scaled(5*e.repeats, 3)
	for _, p := range []powered{
		{name: "PostgreSQL", open: postgresMachine(), cuts: few},
		{name: "PostgreSQL, fsync = off", open: postgresMachine("fsync = off"), cuts: 1, hasToFail: true, long: true},
		{name: "PostgreSQL, synchronous_commit = off", open: postgresMachine("synchronous_commit = off"), cuts: e.repeats, hasToFail: true, long: true},
		{name: "MariaDB", open: mariadbMachine(), cuts: few},
		{name: "MariaDB, innodb_flush_log_at_trx_commit = 2", open: mariadbMachine("--innodb-flush-log-at-trx-commit=2"), cuts: e.repeats, hasToFail: true, long: true},
		{name: "SQLite, WAL, synchronous = FULL", open: sqliteMachine("WAL", "FULL"), cuts: many},
		{name: "SQLite, WAL, synchronous = NORMAL", open: sqliteMachine("WAL", "NORMAL"), cuts: e.repeats, hasToFail: true},
		{name: "SQLite, rollback journal, synchronous = EXTRA", open: sqliteMachine("DELETE", "EXTRA"), cuts: many},
		{name: "SQLite, rollback journal, synchronous = FULL", open: sqliteMachine("DELETE", "FULL"), cuts: many, hasToFail: true, long: true},
		{name: "SQLite, WAL, synchronous = FULL, a disk that lies", open: sqliteMachine("WAL", "FULL"), cuts: 1, lies: true, hasToFail: true},
	} {
		if p.long && e.short {
			continue
		}
		if err := e.power(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	e.printf("\nThe databases run on [a file system](powerfs/disk.go) that forgets what was not synced. At a cut all processes of the database are killed; " +
		"of the blocks of 512 or 4096 bytes that were not synced, none survive or some, at random. " +
		"Then the database is started again from what is left. A disk that lies reports success to each fsync, and syncs nothing. " +
		"SQLite is checked with `PRAGMA integrity_check` after each cut. " +
		"Where a setting or a disk damages a database, so that it serves no more, that is said, and a new one is tried until one lives.\n")
	return nil
}

func postgresMachine(settings ...string) func(*env) (machine, error) {
	return func(e *env) (machine, error) {
		p, err := servers.NewPostgres(e.dir, settings...)
		if err != nil {
			return machine{}, err
		}
		return machine{p, p.Data(), workers(2, 32, "postgres", p.DSN())}, nil
	}
}

func mariadbMachine(settings ...string) func(*env) (machine, error) {
	return func(e *env) (machine, error) {
		m, err := servers.NewMariaDB(e.dir, settings...)
		if err != nil {
			return machine{}, err
		}
		return machine{m, m.Data(), workers(2, 32, "mysql", m.DSN())}, nil
	}
}

func sqliteMachine(journal, synchronous string) func(*env) (machine, error) {
	return func(e *env) (machine, error) {
		dir, err := os.MkdirTemp(e.dir, "sqlite-")
		if err != nil {
			return machine{}, err
		}
		file := filepath.Join(dir, "data", "nonces.db")
		dsn := fmt.Sprintf("file:%s?_journal_mode=%s&_synchronous=%s&_busy_timeout=10000&_txlock=immediate", file, journal, synchronous)
		return machine{nil, filepath.Dir(file), workers(4, 4, "sqlite", dsn)}, os.Mkdir(filepath.Dir(file), 0o755)
	}
}

// attempts is how many databases a store that has to fail gets. A cut may damage
// one, or leave it as it was.
const attempts = 10

// power cuts the power of p and judges its history.
func (e *env) power(ctx context.Context, p powered) error {
	damaged := 0
	for attempt := 1; ; attempt++ {
		h, err := e.cut(ctx, p)
		if p.hasToFail && attempt < attempts && ctx.Err() == nil && (err != nil || history.Check(h).Violations == 0) {
			if err != nil {
				damaged++
				fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
			}
			continue
		}
		if err != nil {
			return err
		}
		if damaged > 0 {
			p.name += fmt.Sprintf(", after %d damaged", damaged)
		}
		_, err = e.judge(p.name, h, p.hasToFail)
		return err
	}
}

// cut runs a new database under a load and cuts its power several times.
func (e *env) cut(ctx context.Context, p powered) (h history.History, err error) {
	m, err := p.open(e)
	if err != nil {
		return h, err
	}
	seed := rand.Uint64()
	disk, err := powerfs.Over(m.data, seed)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if p.lies {
		disk.Lie()
	}
	if m.server != nil {
		if err := m.server.Start(); err != nil {
			return h, err
		}
		defer m.server.Stop()
	}
	if err := migrate(ctx, m.configs[0]); err != nil {
		return h, err
	}
	disk.Sync()
	if p.hasToFail {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
	}
	h, err = e.under(ctx, m.configs, p.cuts, func(l *load.Load) error {
		if p.hasToFail { // time enough has passed for all nonces at hand to be on disk
			disk.Sync()
			if err := l.Accept(ctx, 300); err != nil {
				return err
			}
		}
		return m.cut(ctx, l, disk)
	})
	if err != nil {
		return h, fmt.Errorf("seed %d: %w", seed, err)
	}
	return h, nil
}

// cut ends all processes of the database at a cut of the power, and starts it again.
func (m machine) cut(ctx context.Context, l *load.Load, disk *powerfs.Disk) error {
	if m.server != nil {
		if err := l.Break(ctx, func() error { return errors.Join(m.server.Kill(), disk.Cut()) }); err != nil {
			return err
		}
		return m.server.Start()
	}
	if err := l.BreakAll(ctx, disk.Cut); err != nil {
		return err
	}
	for i := range m.configs {
		if err := l.StartWorker(i); err != nil {
			return err
		}
	}
	check, err := integrity(m.configs[0])
	if err == nil && check != "ok" {
		err = fmt.Errorf("integrity_check: %.100q", check)
	}
	return err
}
