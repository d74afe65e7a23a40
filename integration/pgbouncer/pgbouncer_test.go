// Package pgbouncer runs the suite through PgBouncer in transaction pooling mode,
// where each statement may reach another server connection.
package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// The settings that the README recommends.
var recommended = []string{
	"default_query_exec_mode=cache_describe",
	"default_query_exec_mode=exec",
	"default_query_exec_mode=simple_protocol",
}

func TestConformance(t *testing.T) {
	dsn := start(t)
	for _, mode := range recommended {
		t.Run(mode, func(t *testing.T) {
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB { return dbtest.Open(tb, postgres.Open(dsn+"&"+mode)) })
		})
	}
}

func TestConcurrentCallersAcceptOnce(t *testing.T) {
	dsn := start(t)
	for _, mode := range recommended {
		t.Run(mode, func(t *testing.T) {
			accepted, used, failures := race(t, dsn+"&"+mode, &gorm.Config{})
			if accepted != rounds || used != rounds*(callers-1) || len(failures) > 0 {
				t.Errorf("%d accepted, %d used, failures %v", accepted, used, failures)
			}
		})
	}
}

func TestUnsupportedDSNFailsWithAdvice(t *testing.T) {
	dsn := start(t)
	for name, c := range map[string]struct {
		params string
		config gorm.Config
	}{
		"prepared by pgx":  {"&default_query_exec_mode=cache_statement", gorm.Config{}},
		"prepared by GORM": {"&default_query_exec_mode=cache_describe", gorm.Config{PrepareStmt: true}},
	} {
		t.Run(name, func(t *testing.T) {
			accepted, _, failures := race(t, dsn+c.params, &c.config)
			if accepted > rounds {
				t.Errorf("%d accepted", accepted)
			}
			if len(failures) == 0 {
				t.Error("no call failed: the pooler did not change connections")
			}
			for _, err := range failures {
				if errors.Is(err, dpopnonce.ErrRejected) || !strings.Contains(err.Error(), "default_query_exec_mode=cache_describe") {
					t.Fatalf("error without advice: %v", err)
				}
			}
		})
	}
}

const rounds, callers = 20, 32

// race lets concurrent callers consume each of some nonces, which are issued
// without the pooler.
func race(t *testing.T, dsn string, config *gorm.Config) (accepted, used int, failures []error) {
	t.Helper()
	direct := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
	table := dbtest.Name(t)
	t.Cleanup(func() { direct.Exec("DROP TABLE " + table) })
	issuer := dbtest.Repository(t, direct, dpopnonce.WithTable(table))
	db := dbtest.Open(t, postgres.Open(dsn), config)
	var nodes [callers]*dpopnonce.Repository // in one, those that present a nonce go one after the other
	for i := range nodes {
		var err error
		if nodes[i], err = dpopnonce.NewRepository(db, dpopnonce.WithTable(table)); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	for range rounds {
		nonce, err := issuer.Issue(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var done sync.WaitGroup
		for _, node := range nodes {
			done.Go(func() {
				err := node.Consume(t.Context(), nonce, time.Minute)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					accepted++
				case errors.Is(err, dpopnonce.ErrUsed):
					used++
				default:
					failures = append(failures, err)
				}
			})
		}
		done.Wait()
	}
	return accepted, used, failures
}

// start runs PgBouncer in front of PostgreSQL until the test ends and returns its
// DSN.
func start(t *testing.T) string {
	t.Helper()
	target, err := url.Parse(dbtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	binary := find(t)
	port := freePort(t)
	dir, err := os.MkdirTemp("", "pgbouncer-") // other users cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 40
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
`, target.Hostname(), target.Port(), target.User.Username(), port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(binary, config)
	cmd.Stderr, cmd.Stdout = &log, &log
	if os.Geteuid() == 0 { // PgBouncer refuses to run as root
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	target.Host = net.JoinHostPort("127.0.0.1", port)
	bounded, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(bounded, "tcp", target.Host)
		if err == nil {
			_ = conn.Close()
			return target.String()
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("pgbouncer ended: %v\n%s", err, log.String())
		case <-bounded.Done():
			t.Fatal("pgbouncer does not listen")
		case <-again.C:
		}
	}
}

func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("pgbouncer is not installed: install the Debian package pgbouncer")
	}
	t.Skip("pgbouncer is not installed: install the Debian package pgbouncer")
	return ""
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
