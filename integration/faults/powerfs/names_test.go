package powerfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

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
