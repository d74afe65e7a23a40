package powerfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/attesto/dpopnonce/integration/faults/powerfs"
)

// cuts is how often a test cuts the power: at half of the cuts nothing survives.
const cuts = 30

// over mounts a disk over a new directory, which holds a directory d.
func over(t *testing.T) (*powerfs.Disk, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	disk, err := powerfs.Over(dir, 1)
	if errors.Is(err, powerfs.ErrNoDevice) || errors.Is(err, powerfs.ErrNoHelper) {
		t.Skip(err)
	}
	check(t, err)
	t.Cleanup(func() { check(t, disk.Close()) })
	return disk, dir
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file, and syncs it if sync is true.
func write(t *testing.T, name string, flags int, sync bool, text []byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|flags, 0o600)
	check(t, err)
	defer file.Close()
	_, err = file.Write(text)
	check(t, err)
	if sync {
		check(t, file.Sync())
	}
}

func syncDir(t *testing.T, name string) {
	t.Helper()
	dir, err := os.Open(name)
	check(t, err)
	defer dir.Close()
	check(t, dir.Sync())
}

// read returns a file's text, or "gone".
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return "gone"
	}
	check(t, err)
	return string(text)
}

// outcomes cuts the power several times, each time after prepare, and counts what
// outcome then returns.
func outcomes(t *testing.T, prepare func(dir string), outcome func(dir string) string) map[string]int {
	t.Helper()
	return outcomesOf(t, cuts, prepare, outcome)
}

func outcomesOf(t *testing.T, cuts int, prepare func(dir string), outcome func(dir string) string) map[string]int {
	t.Helper()
	disk, dir := over(t)
	seen := map[string]int{}
	for range cuts {
		prepare(dir)
		check(t, disk.Cut())
		seen[outcome(dir)]++
	}
	return seen
}

// want fails unless exactly these outcomes were seen.
func want(t *testing.T, seen map[string]int, all ...string) {
	t.Helper()
	for _, one := range all {
		if seen[one] == 0 {
			t.Errorf("never %q: %v", one, seen)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("want %q, got %v", all, seen)
	}
}

// mapped writes a file through memory and syncs it, in a process of its own: a page
// fault of Go code may wait for the file system in the same process for ever.
func mapped(t *testing.T, name string, text []byte) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env, child.Stdin = append(os.Environ(), mapVariable+"="+name, "GORACE=atexit_sleep_ms=0"), bytes.NewReader(text)
	if text, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

const mapVariable = "POWERFS_MAP"

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(mapVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if err := writeMapped(name, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writeMapped(name string, from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(int64(len(text))); err != nil {
		return err
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, len(text), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(memory, text)
	return errors.Join(file.Sync(), syscall.Munmap(memory))
}
