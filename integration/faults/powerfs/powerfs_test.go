package powerfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

func TestSyncedDataSurvives(t *testing.T) {
	text := bytes.Repeat([]byte("synced"), 5000)
	for name, sync := range map[string]func(name string){
		"fsync":    func(name string) { write(t, name, 0, true, text) },
		"O_SYNC":   func(name string) { write(t, name, syscall.O_SYNC, false, text) },
		"O_DSYNC":  func(name string) { write(t, name, syscall.O_DSYNC, false, text) },
		"O_APPEND": func(name string) { write(t, name, os.O_APPEND|os.O_TRUNC, true, text) },
		"fdatasync": func(name string) {
			file, err := os.Create(name)
			check(t, err)
			defer file.Close()
			_, err = file.Write(text)
			check(t, errors.Join(err, syscall.Fdatasync(int(file.Fd()))))
		},
		"msync": func(name string) { mapped(t, name, text) },
	} {
		t.Run(name, func(t *testing.T) {
			seen := outcomesOf(t, 6, func(dir string) { sync(filepath.Join(dir, "f")) },
				func(dir string) string { return fmt.Sprint(read(t, filepath.Join(dir, "f")) == string(text)) })
			want(t, seen, "true")
		})
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

func TestUnsyncedDataIsLostInBlocks(t *testing.T) {
	const size = 64 << 10
	seen := outcomes(t, func(dir string) {
		write(t, filepath.Join(dir, "f"), 0, true, bytes.Repeat([]byte("a"), size))
		write(t, filepath.Join(dir, "f"), 0, false, bytes.Repeat([]byte("b"), size-100))
	}, func(dir string) string {
		text := read(t, filepath.Join(dir, "f"))
		if len(text) != size {
			return fmt.Sprintf("%d bytes", len(text))
		}
		small := false
		for i := 0; i < size; i += 512 {
			block := text[i : i+512]
			if i+512 > size-100 {
				block = block[:400]
			}
			if strings.Trim(block, "a") != "" && strings.Trim(block, "b") != "" {
				return "a torn block"
			}
			small = small || i%4096 > 0 && block[0] != text[i-1]
		}
		switch lost := strings.Count(text, "a"); {
		case lost == size:
			return "all lost"
		case small:
			return "torn at 512"
		case lost > 100:
			return "torn at 4096"
		}
		return "nothing lost"
	})
	delete(seen, "nothing lost")
	want(t, seen, "all lost", "torn at 512", "torn at 4096")
}

func TestGrowthIsLostWithoutSync(t *testing.T) {
	sizes := map[int]bool{}
	outcomes(t, func(dir string) {
		write(t, filepath.Join(dir, "f"), os.O_TRUNC, true, bytes.Repeat([]byte("a"), 5000))
		write(t, filepath.Join(dir, "f"), os.O_APPEND, false, bytes.Repeat([]byte("b"), 50000))
	}, func(dir string) string {
		text := read(t, filepath.Join(dir, "f"))
		if strings.Trim(text[:5000], "a") != "" || strings.Trim(text[5000:], "b\x00") != "" {
			t.Errorf("%q", text)
		}
		sizes[len(text)] = true
		return ""
	})
	if !sizes[5000] || !sizes[55000] || len(sizes) < 3 {
		t.Errorf("sizes %v", sizes)
	}
}

func TestLyingDiskLosesWhatIsSynced(t *testing.T) {
	disk, dir := over(t)
	disk.Lies = true
	seen := map[string]int{}
	for range cuts {
		write(t, filepath.Join(dir, "f"), 0, true, []byte("old"))
		disk.Sync()
		write(t, filepath.Join(dir, "f"), 0, true, []byte("new"))
		write(t, filepath.Join(dir, "d/g"), os.O_SYNC, true, []byte("new"))
		syncDir(t, filepath.Join(dir, "d"))
		check(t, disk.Cut())
		seen[read(t, filepath.Join(dir, "f"))]++
		if os.Remove(filepath.Join(dir, "d/g")) != nil {
			seen["name lost"]++
		}
	}
	want(t, seen, "old", "new", "name lost")
}

func TestNamesAreLostInOrder(t *testing.T) {
	number := 0
	seen := outcomes(t, func(dir string) {
		number++
		check(t, os.Mkdir(filepath.Join(dir, "d", fmt.Sprint(number)), 0o755))
		syncDir(t, filepath.Join(dir, "d"))
		for _, name := range []string{"a", "b", "c"} {
			write(t, filepath.Join(dir, "d", fmt.Sprint(number), name), 0, false, nil)
		}
		check(t, os.Rename(filepath.Join(dir, "d", fmt.Sprint(number)), filepath.Join(dir, "d", "moved")))
	}, func(dir string) (all string) {
		names, err := filepath.Glob(filepath.Join(dir, "d", "*", "?"))
		check(t, err)
		for _, name := range names {
			all += filepath.Base(name)
		}
		if os.Rename(filepath.Join(dir, "d", "moved"), filepath.Join(dir, fmt.Sprint("moved", number))) == nil {
			all += " moved"
		} else {
			check(t, os.RemoveAll(filepath.Join(dir, "d", fmt.Sprint(number))))
		}
		return all
	})
	want(t, seen, "", "a", "ab", "abc", "abc moved")
}

func TestRenameIsLostWithoutSync(t *testing.T) {
	replace := func(sync bool) func(dir string) {
		return func(dir string) {
			write(t, filepath.Join(dir, "f"), 0, true, []byte("old"))
			write(t, filepath.Join(dir, "new"), 0, true, []byte("new"))
			check(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "f")))
			if sync {
				syncDir(t, dir)
			}
		}
	}
	outcome := func(dir string) string {
		return read(t, filepath.Join(dir, "f")) + " " + read(t, filepath.Join(dir, "new"))
	}
	want(t, outcomes(t, replace(false), outcome), "old new", "new gone")
	want(t, outcomes(t, replace(true), outcome), "new gone")
}

func TestRenameOfUnsyncedFileMovesItsLoss(t *testing.T) {
	seen := outcomes(t, func(dir string) {
		write(t, filepath.Join(dir, "f"), 0, true, []byte("old"))
		write(t, filepath.Join(dir, "f"), 0, false, []byte("new"))
		check(t, os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "g")))
		syncDir(t, dir)
	}, func(dir string) string {
		return read(t, filepath.Join(dir, "f")) + " " + read(t, filepath.Join(dir, "g"))
	})
	want(t, seen, "gone old", "gone new")
}

func TestRemovedFileReturnsWithoutSync(t *testing.T) {
	remove := func(sync bool) func(dir string) {
		return func(dir string) {
			write(t, filepath.Join(dir, "f"), 0, true, []byte("text"))
			check(t, os.Remove(filepath.Join(dir, "f")))
			if sync {
				syncDir(t, dir)
			}
		}
	}
	outcome := func(dir string) string { return read(t, filepath.Join(dir, "f")) }
	want(t, outcomes(t, remove(false), outcome), "gone", "text")
	want(t, outcomes(t, remove(true), outcome), "gone")
}

func TestSyncOfNewFileCommitsEarlierRemoval(t *testing.T) {
	number := 0
	seen := outcomes(t, func(dir string) {
		number++
		write(t, filepath.Join(dir, "f"), 0, true, nil)
		check(t, os.Remove(filepath.Join(dir, "f")))
		write(t, filepath.Join(dir, fmt.Sprint(number)), 0, true, nil)
	}, func(dir string) string { return read(t, filepath.Join(dir, "f")) })
	want(t, seen, "gone")
}

func TestShorterFileGrowsBackWithoutSync(t *testing.T) {
	shorten := func(sync bool) func(dir string) {
		return func(dir string) {
			name := filepath.Join(dir, "f")
			write(t, name, 0, true, bytes.Repeat([]byte("a"), 9000))
			check(t, os.Truncate(name, 5000))
			write(t, name, os.O_APPEND, sync, []byte("b"))
		}
	}
	outcome := func(dir string) string {
		text := read(t, filepath.Join(dir, "f"))
		switch rest := strings.TrimLeft(text, "a"); {
		case len(text) == 9000 && rest == "":
			return "long"
		case len(text) == 5001 && rest == "b":
			return "short"
		case len(text) == 5000 && rest == "", rest == "\x00":
			return "short, without the last write"
		}
		return text
	}
	seen := outcomes(t, shorten(false), outcome)
	delete(seen, "short")
	want(t, seen, "long", "short, without the last write")
	want(t, outcomes(t, shorten(true), outcome), "short")
}
