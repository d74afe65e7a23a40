package servers

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	_ "github.com/go-sql-driver/mysql"
)

// MariaDB is a MariaDB server, or a node of a Galera cluster.
type MariaDB struct {
	process
	port int
}

// NewMariaDB prepares a server with settings of the form "--name=value". It does
// not start it.
func NewMariaDB(parent string, settings ...string) (*MariaDB, error) {
	mariadbd, err := find("MariaDB", "mariadb-server", "mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := find("MariaDB", "mariadb-server", "mariadb-install-db")
	if err != nil {
		return nil, err
	}
	m := &MariaDB{}
	m.name, m.user, m.host = "mariadb", "mysql", loopback
	if m.dir, err = newDir(parent, "mariadb", m.user); err != nil {
		return nil, err
	}
	if m.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := run(m.user, m.dir, install, "--no-defaults", "--datadir=./data", "--force", "--skip-test-db",
		"--auth-root-authentication-method=normal"); err != nil {
		return nil, err
	}
	create := filepath.Join(m.dir, "create.sql")
	if err := os.WriteFile(create, []byte("CREATE DATABASE IF NOT EXISTS dpopnonce;\n"), 0o644); err != nil {
		return nil, err
	}
	m.command = append([]string{mariadbd, "--no-defaults", "--datadir=" + filepath.Join(m.dir, "data"), "--init-file=" + create,
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.port), "--socket=" + filepath.Join(m.dir, "s"),
		"--pid-file=" + filepath.Join(m.dir, "pid"), "--max-connections=300", "--skip-name-resolve",
		"--character-set-server=utf8mb4"}, settings...)
	return m, nil
}

// DSN returns the DSN of the server.
func (m *MariaDB) DSN() string {
	return fmt.Sprintf("root@tcp(%s:%d)/dpopnonce?parseTime=true&loc=UTC&timeout=2s", m.host.Address, m.port)
}

// Start starts the server and waits until it executes statements on tables, which a
// node of a cluster refuses until it has caught up.
func (m *MariaDB) Start() error {
	return m.start(func(ctx context.Context) error {
		return m.Exec(ctx, "SELECT 1 FROM mysql.global_priv LIMIT 1")
	})
}

// MoveTo makes a server that does not run yet run on a host, and serve the hosts of
// its network.
func (m *MariaDB) MoveTo(h Host) error {
	m.host = h
	m.command = append(m.command, "--bind-address="+h.Address)
	return os.WriteFile(filepath.Join(m.dir, "create.sql"),
		[]byte("CREATE DATABASE IF NOT EXISTS dpopnonce;\nCREATE USER IF NOT EXISTS root@'%';\nGRANT ALL ON *.* TO root@'%';\n"), 0o644)
}

// Exec runs a statement.
func (m *MariaDB) Exec(ctx context.Context, query string) error {
	db, err := sql.Open("mysql", m.DSN())
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, query)
	return err
}

// Kill kills the server.
func (m *MariaDB) Kill() error { return m.kill() }

// Stop shuts the server down.
func (m *MariaDB) Stop() { m.stop(syscall.SIGTERM) }

// Galera is a cluster of MariaDB nodes that all accept writes.
type Galera struct {
	Nodes   []*MariaDB
	address string
}

// NewGalera prepares a cluster on this host. It does not start it.
func NewGalera(parent string, nodes int) (*Galera, error) {
	return NewGaleraOn(parent, slices.Repeat([]Host{loopback}, nodes))
}

// NewGaleraOn prepares a cluster with a node on each host. It does not start it.
func NewGaleraOn(parent string, hosts []Host) (*Galera, error) {
	provider, err := find("Galera", "galera-4 rsync", "libgalera_smm.so")
	if err != nil {
		return nil, err
	}
	if _, err := find("rsync", "rsync", "rsync"); err != nil {
		return nil, err
	}
	g := &Galera{}
	var addresses []string
	ports := make([]int, len(hosts))
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
		addresses = append(addresses, fmt.Sprintf("%s:%d", hosts[i].Address, ports[i]))
	}
	g.address = "gcomm://" + strings.Join(addresses, ",")
	for i, port := range ports {
		host := hosts[i]
		transfer, err := freePort()
		if err != nil {
			return nil, err
		}
		ist, err := freePort()
		if err != nil {
			return nil, err
		}
		node, err := NewMariaDB(parent, "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON",
			"--wsrep-provider="+provider, "--wsrep-cluster-name=dpopnonce", "--wsrep-node-address="+host.Address,
			"--wsrep-sst-method=rsync", fmt.Sprintf("--wsrep-sst-receive-address=%s:%d", host.Address, transfer),
			fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://%[1]s:%[2]d;ist.recv_addr=%[1]s:%[3]d;"+
				"evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S", host.Address, port, ist))
		if err != nil {
			return nil, err
		}
		if host.Namespace != "" {
			if err := node.MoveTo(host); err != nil {
				return nil, err
			}
		}
		g.Nodes = append(g.Nodes, node)
	}
	return g, nil
}

// Start starts all nodes: the first one creates the cluster, the others join it.
func (g *Galera) Start() error {
	for i := range g.Nodes {
		if err := g.StartNode(i, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// Primary reports whether node i is in the part of the cluster that serves.
func (g *Galera) Primary(ctx context.Context, i int) (bool, error) {
	db, err := sql.Open("mysql", g.Nodes[i].DSN())
	if err != nil {
		return false, err
	}
	defer db.Close()
	var name, status string
	err = db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_cluster_status'").Scan(&name, &status)
	return status == "Primary", err
}

// StartNode starts node i, which creates the cluster or joins it.
func (g *Galera) StartNode(i int, creates bool) error {
	node := g.Nodes[i]
	plain := node.command
	defer func() { node.command = plain }()
	if creates {
		node.command = append(append([]string(nil), plain...), "--wsrep-new-cluster", "--wsrep-cluster-address=gcomm://")
	} else {
		node.command = append(append([]string(nil), plain...), "--wsrep-cluster-address="+g.address)
	}
	return node.Start()
}

// Stop shuts all nodes down.
func (g *Galera) Stop() {
	for _, node := range g.Nodes {
		node.Stop()
	}
}
