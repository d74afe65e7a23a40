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

// A PatroniNode is Patroni and the server that it runs.
type PatroniNode struct {
	process
	port, rest int
}

// config returns the configuration of a node. loop_wait + 2*retry_timeout has to be
// at most ttl. It is etcd's version 2: by version 3, a leader of Patroni 3.0.2 that
// was paused may overwrite the key of the next one
// (https://github.com/patroni/patroni/pull/2689).
func (n *PatroniNode) config(i int, p *Patroni, bin string) string {
	return strings.NewReplacer("{name}", fmt.Sprintf("node%d", i+1), "{address}", n.host.Address, "{port}", strconv.Itoa(n.port),
		"{rest}", strconv.Itoa(n.rest), "{etcd}", p.etcd.address, "{dir}", n.dir, "{bin}", bin,
		"{synchronous}", strconv.FormatBool(p.synchronous)).Replace(`scope: dpopnonce
name: {name}
restapi: {listen: "{address}:{rest}", connect_address: "{address}:{rest}"}
etcd: {host: "{etcd}"}
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
