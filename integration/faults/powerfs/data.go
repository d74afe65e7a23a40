package powerfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const page = 4096

// unsynced is what a file held when it was last synced, as far as that was changed.
type unsynced struct {
	size  int64
	pages map[int64][]byte // by number; an empty one is of zeros
}

// of returns the unsynced data of a file, which has this size now.
func (d *Disk) of(ino uint64, size int64) *unsynced {
	u := d.unsynced[ino]
	if u == nil {
		u = &unsynced{size: size, pages: map[int64][]byte{}}
		d.unsynced[ino] = u
	}
	return u
}

// keep keeps what the file holds from an offset on, before n bytes are written there.
func (u *unsynced) keep(file io.ReaderAt, offset, n int64) error {
	for number := offset / page; number*page < offset+n; number++ {
		if _, ok := u.pages[number]; ok {
			continue
		}
		old := make([]byte, page)
		read, err := file.ReadAt(old, number*page)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if read == 0 {
			old = nil
		}
		u.pages[number] = old
	}
	return nil
}

// shorten enters into the journal that a file becomes shorter.
func (d *Disk) shorten(ino uint64, file io.ReaderAt, from, to int64) error {
	start := to / page * page
	tail := make([]byte, from-start)
	if _, err := file.ReadAt(tail, start); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	u := d.of(ino, from)
	before := *u
	before.pages = maps.Clone(u.pages)
	for number, old := range u.pages {
		switch {
		case number*page >= to:
			delete(u.pages, number)
		case number*page == start && old != nil:
			cut := slices.Clone(old)
			clear(cut[to-start:])
			u.pages[number] = cut
		}
	}
	u.size = min(u.size, to)
	d.changed(change{undo: func() error {
		maps.DeleteFunc(u.pages, func(number int64, _ []byte) bool { return number*page >= start })
		for number, old := range before.pages {
			if number*page >= start {
				u.pages[number] = old
			}
		}
		u.size = before.size
		d.unsynced[ino] = u
		return d.each(func(name string, info *syscall.Stat_t) error {
			if info.Ino != ino {
				return nil
			}
			return write(name, from, func(file *os.File) error {
				_, err := file.WriteAt(tail, start)
				return err
			})
		})
	}}, ino)
	return nil
}

// lose undoes what was written and not synced, except a share of the blocks.
func (d *Disk) lose(survive float64) error {
	block := []int{512, page}[d.random.IntN(2)]
	return d.each(func(name string, info *syscall.Stat_t) error {
		u := d.unsynced[info.Ino]
		if u == nil {
			return nil
		}
		size := u.size
		if grown := info.Size - u.size; grown > 0 && survive > 0 {
			size += []int64{0, grown, d.random.Int64N(grown)}[d.random.IntN(3)]
		}
		return write(name, size, func(file *os.File) error {
			for _, number := range slices.Sorted(maps.Keys(u.pages)) {
				old := u.pages[number]
				if old == nil {
					old = make([]byte, page)
				}
				for i := 0; i < page; i += block {
					if d.random.Float64() < survive {
						continue
					}
					if _, err := file.WriteAt(old[i:i+block], number*page+int64(i)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// each calls f for each regular file.
func (d *Disk) each(f func(name string, info *syscall.Stat_t) error) error {
	return filepath.WalkDir(d.root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return f(name, info.Sys().(*syscall.Stat_t))
	})
}

// write changes a file, which then has the given size.
func write(name string, size int64, f func(*os.File) error) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f(file); err != nil {
		return err
	}
	if err := file.Truncate(size); err != nil {
		return err
	}
	return file.Close()
}
