package powerfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
	disk.Lie()
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
