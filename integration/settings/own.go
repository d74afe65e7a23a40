package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gorm.io/gorm"
)

var errAbsent = errors.New("install the Debian package mariadb-server")

// startMariaDB starts a MariaDB server with arguments, as user mysql if this is
// root. The function that it returns stops it and removes its files.
func startMariaDB(args ...string) (dsn string, stop func(), err error) {
	dir, err := os.MkdirTemp("/tmp", "settings") // which every user can enter, and a short path for a socket
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	if err := os.Chmod(dir, 0o755); err != nil {
		remove()
		return "", nil, err
	}
	port, server, err := launch(dir, args)
	if err != nil {
		remove()
		return "", nil, err
	}
	stop = func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		remove()
	}
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/dpopnonce?parseTime=true&loc=UTC", port), stop, nil
}

func launch(dir string, args []string) (port int, server *exec.Cmd, err error) {
	install, err := command(dir, "mariadb-install-db", "--no-defaults", "--datadir=./data", "--force", "--skip-test-db", "--auth-root-authentication-method=normal")
	if err != nil {
		return 0, nil, err
	}
	if out, err := install.CombinedOutput(); err != nil {
		return 0, nil, fmt.Errorf("%w: %s", err, out)
	}
	// app has no right that exempts it from read_only and init_connect.
	create := "CREATE DATABASE IF NOT EXISTS dpopnonce;\nCREATE USER app;\nGRANT ALL ON dpopnonce.* TO app;\nGRANT BINLOG ADMIN ON *.* TO app;\n"
	if err := os.WriteFile(filepath.Join(dir, "create.sql"), []byte(create), 0o644); err != nil {
		return 0, nil, err
	}
	if port, err = freePort(); err != nil {
		return 0, nil, err
	}
	server, err = command(dir, "mariadbd", append([]string{"--no-defaults", "--datadir=" + dir + "/data", "--init-file=" + dir + "/create.sql",
		"--bind-address=127.0.0.1", fmt.Sprint("--port=", port), "--socket=" + dir + "/s", "--pid-file=" + dir + "/pid", "--server-id=1",
		"--max-connections=300", "--skip-name-resolve", "--character-set-server=utf8mb4"}, args...)...)
	if err != nil {
		return 0, nil, err
	}
	log := filepath.Join(dir, "log")
	file, err := os.Create(log)
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	server.Stdout, server.Stderr = file, file
	if err := server.Start(); err != nil {
		return 0, nil, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(text), "ready for connections") {
			return port, server, nil
		}
		if strings.Contains(string(text), "Aborting") {
			break
		}
	}
	_ = server.Process.Kill()
	_ = server.Wait()
	text, _ := os.ReadFile(log)
	return 0, nil, fmt.Errorf("it did not start: %s", text)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// command returns a command of a server, in a directory that is its user's.
func command(dir, name string, args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	if os.Geteuid() != 0 {
		return cmd, nil
	}
	u, err := user.Lookup("mysql")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd, os.Chown(dir, uid, gid)
}

// usual are the variables of a session on a server whose arguments change them.
const usual = "autocommit=1&completion_type='NO_CHAIN'&tx_isolation='REPEATABLE-READ'&tx_read_only=0"

// sessions returns the settings of a server with arguments, one for each session
// and mode. They connect as app; the other pool is root's.
func sessions(dsn string, args []string, params string) (all []setting) {
	app := mariadb(strings.Replace(dsn, "root@", "app@", 1))
	for _, one := range app.settings(strings.Join(args, " "), params, parse(params)) {
		mode := one.mode
		one.other = func() (*gorm.DB, error) { return openMariaDB(dsn, parse(usual), mode) }
		all = append(all, one)
	}
	return all
}
