package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Patroni is a cluster of PostgreSQL servers that chooses its leader by itself.
type Patroni struct {
	Nodes       []*PatroniNode
	etcd        *Etcd
	synchronous bool
}

// A PatroniNode is Patroni and the server that it runs.
type PatroniNode struct {
	process
	port, rest int
}

// NewPatroni prepares a cluster with a node on each host but the last, which is
// etcd's.
func NewPatroni(parent string, hosts []Host, synchronous bool) (*Patroni, error) {
	patroni, err := find("Patroni", "patroni etcd-server", "patroni")
	if err != nil {
		return nil, err
	}
	postgres, err := find("PostgreSQL", "postgresql", "postgres")
	if err != nil {
		return nil, err
	}
	last := len(hosts) - 1
	p := &Patroni{synchronous: synchronous}
	if p.etcd, err = NewEtcd(parent, hosts[last]); err != nil {
		return nil, err
	}
	for i, h := range hosts[:last] {
		n := &PatroniNode{}
		n.name, n.user, n.host = "patroni", "postgres", h
		if n.dir, err = newDir(parent, n.name, n.user); err != nil {
			return nil, err
		}
		if n.port, err = freePort(); err != nil {
			return nil, err
		}
		if n.rest, err = freePort(); err != nil {
			return nil, err
		}
		config := filepath.Join(n.dir, "patroni.yaml")
		if err := os.WriteFile(config, []byte(n.config(i, p, filepath.Dir(postgres))), 0o644); err != nil {
			return nil, err
		}
		n.command = []string{patroni, config}
		p.Nodes = append(p.Nodes, n)
	}
	return p, nil
}

// config returns the configuration of a node. loop_wait + 2*retry_timeout has to be
// at most ttl.
func (n *PatroniNode) config(i int, p *Patroni, bin string) string {
	return strings.NewReplacer("{name}", fmt.Sprintf("node%d", i+1), "{address}", n.host.Address, "{port}", strconv.Itoa(n.port),
		"{rest}", strconv.Itoa(n.rest), "{etcd}", p.etcd.address, "{dir}", n.dir, "{bin}", bin,
		"{synchronous}", strconv.FormatBool(p.synchronous)).Replace(`scope: dpopnonce
name: {name}
restapi: {listen: "{address}:{rest}", connect_address: "{address}:{rest}"}
etcd3: {host: "{etcd}"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: {synchronous}
    postgresql:
      use_pg_rewind: true
      parameters: {max_connections: 300}
  initdb: [data-checksums, no-sync, {encoding: UTF8}, {locale: C.UTF-8}, {auth: trust}]
postgresql:
  listen: "{address}:{port}"
  connect_address: "{address}:{port}"
  data_dir: {dir}/data
  bin_dir: {bin}
  pgpass: {dir}/pgpass
  authentication: {superuser: {username: postgres}, replication: {username: postgres}}
  parameters: {unix_socket_directories: {dir}}
  pg_hba: [local all all trust, host all all samenet trust, host replication all samenet trust]
`)
}

// DSN returns a DSN of the node that leads.
func (p *Patroni) DSN() string {
	var hosts []string
	for _, n := range p.Nodes {
		hosts = append(hosts, fmt.Sprintf("%s:%d", n.host.Address, n.port))
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/postgres?sslmode=disable&target_session_attrs=read-write&connect_timeout=2"
}

// Start starts all nodes.
func (p *Patroni) Start() error {
	if err := p.etcd.Start(); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Stop kills all nodes and shuts etcd down.
func (p *Patroni) Stop() {
	for _, n := range p.Nodes {
		_ = n.Kill()
	}
	p.etcd.Stop()
}

// Leader returns the number of the node that leads. It asks all nodes but one, or
// all.
func (p *Patroni) Leader(ctx context.Context, but int) (int, error) {
	var errs []error
	for i, n := range p.Nodes {
		if i == but {
			continue
		}
		err := n.get(ctx, "/primary", nil)
		if err == nil {
			return i, nil
		}
		errs = append(errs, err)
	}
	return -1, errors.Join(errs...)
}

// Whole reports whether all other nodes follow the leader, one of them as its
// synchronous standby if the cluster is synchronous.
func (p *Patroni) Whole(ctx context.Context) (bool, error) {
	leader, err := p.Leader(ctx, -1)
	if err != nil {
		return false, err
	}
	var cluster struct {
		Members []struct {
			Role, State string
			Timeline    int
		}
	}
	if err := p.Nodes[leader].get(ctx, "/cluster", &cluster); err != nil {
		return false, err
	}
	roles := map[string]int{}
	for _, m := range cluster.Members {
		if (m.State == "running" || m.State == "streaming") && m.Timeline == cluster.Members[0].Timeline {
			roles[m.Role]++
		}
	}
	followers := len(p.Nodes) - 1
	if p.synchronous {
		return roles["leader"] == 1 && roles["sync_standby"] == 1 && roles["replica"] == followers-1, nil
	}
	return roles["leader"] == 1 && roles["replica"] == followers, nil
}

// Start starts the node and waits until its server runs.
func (n *PatroniNode) Start() error {
	return n.start(func(ctx context.Context) error { return n.get(ctx, "/health", nil) })
}

// pids returns the processes of the node. Patroni is not the parent of its server.
func (n *PatroniNode) pids() []int {
	all := []int{n.cmd.Process.Pid}
	text, _ := os.ReadFile(filepath.Join(n.dir, "data", "postmaster.pid"))
	first, _, _ := strings.Cut(string(text), "\n")
	if server, err := strconv.Atoi(first); err == nil {
		all = append(all, server)
	}
	for _, pid := range all {
		all = append(all, children(pid)...)
	}
	return all
}

// Pause stops all processes of the node.
func (n *PatroniNode) Pause() error { return n.signal(syscall.SIGSTOP) }

// Continue continues them.
func (n *PatroniNode) Continue() error { return n.signal(syscall.SIGCONT) }

func (n *PatroniNode) signal(s syscall.Signal) (err error) {
	for range 2 { // the second time those that started meanwhile
		for _, pid := range n.pids() {
			if e := syscall.Kill(pid, s); e != nil && !errors.Is(e, syscall.ESRCH) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// Kill kills all processes of the node at once.
func (n *PatroniNode) Kill() error {
	if n.cmd == nil || !alive(n.cmd.Process.Pid) {
		return nil
	}
	if err := n.Pause(); err != nil {
		return err
	}
	all := n.pids()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended before
	}
	<-n.ended
	return gone(n.name, all)
}

func (n *PatroniNode) get(ctx context.Context, path string, to any) error {
	return get(ctx, fmt.Sprintf("http://%s:%d%s", n.host.Address, n.rest, path), to)
}

// get asks for JSON, which it reads into to unless that is nil.
func get(ctx context.Context, url string, to any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if to == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(to)
}
