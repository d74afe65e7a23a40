package servers

import (
	"context"
	"fmt"
	"syscall"
)

// Etcd is a store of one node, in which Patroni keeps who leads.
type Etcd struct {
	process
	address string // of clients
}

// NewEtcd prepares a store on a host. It does not start it.
func NewEtcd(parent string, h Host) (*Etcd, error) {
	etcd, err := find("etcd", "etcd-server", "etcd")
	if err != nil {
		return nil, err
	}
	e := &Etcd{}
	e.name, e.user, e.host = "etcd", "etcd", h
	if e.dir, err = newDir(parent, "etcd", e.user); err != nil {
		return nil, err
	}
	client, err := freePort()
	if err != nil {
		return nil, err
	}
	peer, err := freePort()
	if err != nil {
		return nil, err
	}
	e.address = fmt.Sprintf("%s:%d", h.Address, client)
	clients, peers := "http://"+e.address, fmt.Sprintf("http://%s:%d", h.Address, peer)
	e.command = []string{etcd, "--name=etcd", "--data-dir=data", "--enable-v2", "--listen-client-urls=" + clients, "--advertise-client-urls=" + clients,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=etcd=" + peers}
	return e, nil
}

// Start starts the store.
func (e *Etcd) Start() error {
	return e.start(func(ctx context.Context) error { return get(ctx, "http://"+e.address+"/health", nil) })
}

// Stop shuts the store down.
func (e *Etcd) Stop() { e.stop(syscall.SIGTERM) }
