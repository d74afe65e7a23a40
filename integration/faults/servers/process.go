// Package servers starts and kills database servers, on loopback ports and in
// temporary directories.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long a server may take to become ready.
const startTimeout = 90 * time.Second

// A process is the process of a server.
type process struct {
	host    Host
	name    string
	dir     string
	user    string // runs it if this process is root
	command []string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// start starts the process and waits until ready returns nil.
func (p *process) start(ready func(context.Context) error) error {
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := as(p.user, p.dir, p.command...)
	if err != nil {
		return err
	}
	p.host.enter(cmd, p.user)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p.cmd, p.ended = cmd, ended
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %s", p.name, p.log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, err, p.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Data returns the directory of the server's data.
func (p *process) Data() string { return filepath.Join(p.dir, "data") }

// log returns the end of the process's log.
func (p *process) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, p.name+".log"))
	return string(text[max(0, len(text)-1500):])
}

// kill stops the process, so that it cannot start another, sends SIGKILL to it and
// to all processes that it started, and waits until they have ended.
func (p *process) kill() error {
	if p.cmd == nil {
		return nil
	}
	main := p.cmd.Process.Pid
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	for alive(main) && state(main) != 'T' {
		time.Sleep(time.Millisecond)
	}
	all := append(children(main), main)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended before
	}
	<-p.ended
	return gone(p.name, all)
}

// gone waits until processes that were killed have ended.
func gone(name string, pids []int) error {
	for _, pid := range pids {
		for deadline := time.Now().Add(10 * time.Second); alive(pid); {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: process %d survived SIGKILL", name, pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// stop sends the signal, and kills the process if it does not end.
func (p *process) stop(signal os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.kill()
	}
}

// children returns the descendants of pid.
func children(pid int) (all []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		if err == nil {
			all = append(append(all, child), children(child)...)
		}
	}
	return all
}

// alive reports whether pid runs. A zombie does not: it holds no resources.
func alive(pid int) bool {
	s := state(pid)
	return s != 0 && s != 'Z'
}

// state returns the letter that ps prints, or 0 if there is no such process.
func state(pid int) byte {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return append(rest, 0)[0]
}

// as prepares a command. If this process is root, the command runs as the named
// user, because the servers refuse to run as root.
func as(name, dir string, command ...string) (*exec.Cmd, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return cmd, nil
	}
	uid, gid, err := idsOf(name)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return cmd, nil
}

func idsOf(name string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	parsed, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(parsed), uint32(group), err
}

// newDir creates a directory that the server's user owns.
func newDir(parent, name, owner string) (string, error) {
	dir, err := os.MkdirTemp(parent, name+"-")
	if err != nil || os.Geteuid() != 0 {
		return dir, err
	}
	uid, gid, err := idsOf(owner)
	if err != nil {
		return "", err
	}
	return dir, os.Chown(dir, int(uid), int(gid))
}

// run runs a command and waits for it.
func run(user, dir string, command ...string) error {
	cmd, err := as(user, dir, command...)
	if err != nil {
		return err
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command[0], err, text[max(0, len(text)-2000):])
	}
	return nil
}

// freePort returns a port that no program listens on, below the range of ephemeral
// ports.
func freePort() (int, error) {
	for range 100 {
		port := 10240 + rand.IntN(20000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// NotInstalled is the error of a server that is not installed.
type NotInstalled struct{ Server, Package string }

func (e NotInstalled) Error() string {
	return e.Server + " is not installed: apt-get install " + e.Package
}

// find returns the path of a program. It looks at Debian's directories first, which
// may not be in PATH.
func find(server, pkg, name string) (string, error) {
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/lib/galera/", "/usr/sbin/", "/usr/bin/"} {
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", NotInstalled{server, pkg}
	}
	return filepath.EvalSymlinks(path)
}
