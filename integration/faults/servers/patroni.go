package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Patroni is a cluster of PostgreSQL servers that chooses its leader by itself.
type Patroni struct {
	Nodes       []*PatroniNode
	etcd        *Etcd
	synchronous bool
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
// synchronous standby if the cluster is synchronous. If they do not, the error says
// what they do.
func (p *Patroni) Whole(ctx context.Context) (bool, error) {
	leader, err := p.Leader(ctx, -1)
	if err != nil {
		return false, err
	}
	var cluster struct {
		Members []struct {
			Name, Role, State string
			Timeline          int
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
	whole := roles["leader"] == 1 && roles["replica"] == followers
	if p.synchronous {
		whole = roles["leader"] == 1 && roles["sync_standby"] == 1 && roles["replica"] == followers-1
	}
	if !whole {
		return false, fmt.Errorf("the members are %+v", cluster.Members)
	}
	return true, nil
}
