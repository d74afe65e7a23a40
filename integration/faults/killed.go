package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

func killPostgres(ctx context.Context, e *env) error {
	kill := func(k killing, store string, settings ...string) error {
		p, err := servers.NewPostgres(e.dir, settings...)
		if err != nil {
			return err
		}
		k.server, k.configs = p, workers(2, 32, "postgres", p.DSN())
		for i := range k.configs {
			k.configs[i].Store = store
		}
		return e.kill(ctx, k)
	}
	if err := kill(killing{name: "dpopnonce", times: e.scaled(20, 2)}, ""); err != nil {
		return err
	}
	if err := kill(killing{name: load.LookFirst, times: 2, hasToFail: true}, load.LookFirst); err != nil {
		return err
	}
	if !e.short { // a short run has too few kills to lose a commit with certainty
		weak := killing{name: "dpopnonce, synchronous_commit = off", times: 10, apart: time.Second, hasToFail: true}
		if err := kill(weak, "", "synchronous_commit = off"); err != nil {
			return err
		}
	}
	e.printf("\nAll processes of the server are killed with SIGKILL under 64 callers, and the server is started again. " +
		"Callers recover by themselves. The kernel still writes what it was given; [power cuts](#power-cuts) are below.\n")
	return nil
}

func killMariaDB(ctx context.Context, e *env) error {
	kill := func(k killing, settings ...string) error {
		m, err := servers.NewMariaDB(e.dir, settings...)
		if err != nil {
			return err
		}
		k.server, k.configs = m, workers(2, 32, "mysql", m.DSN())
		return e.kill(ctx, k)
	}
	if err := kill(killing{name: "dpopnonce", times: e.scaled(20, 2)}); err != nil {
		return err
	}
	if !e.short {
		weak := killing{name: "dpopnonce, innodb_flush_log_at_trx_commit = 0", times: 10, apart: 3 * time.Second, hasToFail: true}
		if err := kill(weak, "--innodb-flush-log-at-trx-commit=0"); err != nil {
			return err
		}
	}
	e.printf("\nThe server is killed with SIGKILL under 64 callers and started again. " +
		"`innodb_flush_log_at_trx_commit = 2` would survive this, but not a [power cut](#power-cuts).\n")
	return nil
}

func killGalera(ctx context.Context, e *env) error {
	g, err := servers.NewGalera(e.dir, 3)
	if err != nil {
		return err
	}
	defer g.Stop()
	if err := g.Start(); err != nil {
		return err
	}
	for _, setting := range []string{"wsrep_sync_wait=0", "wsrep_sync_wait=3", "interpolateParams=true"} {
		if err := e.killNodes(ctx, g, setting); err != nil {
			return err
		}
	}
	e.printf("\nEach of three processes calls a node of its own. A killed node joins again and copies the data of the others.\n")
	return nil
}

func (e *env) killNodes(ctx context.Context, g *servers.Galera, setting string) error {
	var dsns []string
	for _, node := range g.Nodes {
		dsns = append(dsns, node.DSN()+"&"+setting)
	}
	configs := workers(3, 16, "mysql", dsns...)
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	h, err := e.under(ctx, configs, e.scaled(5, 1), func(l *load.Load) error {
		victim := rand.IntN(len(g.Nodes))
		if err := l.Break(ctx, g.Nodes[victim].Kill); err != nil {
			return err
		}
		if err := l.Accept(ctx, 200, victim); err != nil { // by the other two
			return err
		}
		return g.StartNode(victim, false)
	})
	if err != nil {
		return err
	}
	if _, err := e.judge("dpopnonce, "+setting, h, false); err != nil {
		return err
	}
	for _, op := range h.Ops { // a node learns at commit that another one was first
		if strings.Contains(op.Err, "Error 1213") || strings.Contains(op.Err, "Error 1020") {
			return fmt.Errorf("a conflict reached a caller: %s", op.Err)
		}
	}
	return nil
}

// sqliteDSN returns the DSN that docs/databases.md recommends.
func sqliteDSN(file string) string {
	return "file:" + file + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"
}

func killSQLite(ctx context.Context, e *env) error {
	file := filepath.Join(e.dir, "nonces.db")
	for _, store := range []string{"", load.LookFirst} {
		name, faults := "dpopnonce", e.scaled(50, 8)
		if store != "" {
			name, faults, file = store, 2, filepath.Join(e.dir, "naive.db")
		}
		configs := workers(4, 4, "sqlite", sqliteDSN(file))
		for i := range configs {
			configs[i].Store = store
		}
		if err := migrate(ctx, configs[0]); err != nil {
			return err
		}
		h, err := e.under(ctx, configs, faults, func(l *load.Load) error {
			victim := rand.IntN(len(configs))
			if err := l.KillWorker(victim); err != nil {
				return err
			}
			return l.StartWorker(victim)
		})
		if err != nil {
			return err
		}
		if _, err := e.judge(name, h, store != ""); err != nil {
			return err
		}
	}
	check, err := integrity(load.Config{Driver: "sqlite", DSN: sqliteDSN(filepath.Join(e.dir, "nonces.db")), Callers: 1})
	if err != nil {
		return err
	}
	e.printf("\nFour processes on one file, each killed at random. `PRAGMA integrity_check` at the end: %s.\n", check)
	if check != "ok" {
		return fmt.Errorf("integrity_check: %s", check)
	}
	return nil
}

func integrity(c load.Config) (result string, err error) {
	db, err := c.Open()
	if err != nil {
		return "", err
	}
	pool, err := db.DB()
	if err != nil {
		return "", err
	}
	defer pool.Close()
	return result, pool.QueryRow("PRAGMA integrity_check").Scan(&result)
}
