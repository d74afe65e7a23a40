// Package powerfs is a file system for Linux whose power can be cut. It passes
// everything on to a directory, and remembers how to undo what is not synced.
//
// It is the model of a disk and of a file system that journals its directories, as
// ext4 and XFS do:
//
//   - Data is durable after an fsync or fdatasync of its file, or when a write through
//     O_SYNC or O_DSYNC returns. Of other data, each block of 512 or 4096 bytes holds
//     after a cut what was last synced or what was last written, independently of all
//     others: writes are lost, torn and reordered. A file that grew has a size between
//     its synced and its last one, with zeros where the data is lost.
//   - Directories change in order: creating, linking, renaming and removing names, and
//     making a file shorter, are entries of one journal. An fsync of a file or of a
//     directory makes durable the entries up to the last one that concerns it. Of the
//     later entries, any number is lost, the last ones first.
//   - Owners, modes and times are durable at once. There are no extended attributes.
//
// At half of the cuts nothing survives that is not synced.
package powerfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Errors of a machine that cannot mount the file system.
var (
	ErrNoDevice = errors.New("/dev/fuse is missing: apt-get install fuse3 and modprobe fuse, or give the container this device")
	ErrNoHelper = errors.New("users other than root mount with fusermount3: apt-get install fuse3")
)

// Available returns an error if this machine cannot mount the file system.
func Available() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return ErrNoDevice
	}
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		return ErrNoHelper
	}
	return nil
}

// A Disk is a mounted file system.
type Disk struct {
	dir, root, lost string // the mount point, the files, and removed files
	server          *fuse.Server

	mu       sync.Mutex
	lies     bool
	random   *rand.Rand
	unsynced map[uint64]*unsynced // data, by inode number
	journal  []change             // of directories, not yet durable
	first    int                  // the number of journal[0]
	last     map[uint64]int       // by inode number: the number after its last change
	removed  int
}

// Over mounts a file system over dir, which it starts with the files of, all durable.
// It keeps them in a directory beside it.
func Over(dir string, seed uint64) (*Disk, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	disk := dir + ".disk"
	d := &Disk{dir: dir, root: filepath.Join(disk, "root"), lost: filepath.Join(disk, "lost"), random: rand.New(rand.NewPCG(seed, 0))}
	d.reset()
	if err := os.MkdirAll(d.lost, 0o700); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, d.root); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return d, d.mount()
}

func (d *Disk) reset() {
	d.unsynced, d.journal, d.last = map[uint64]*unsynced{}, nil, map[uint64]int{}
}

func (d *Disk) mount() error {
	loopback, err := fs.NewLoopbackRoot(d.root)
	if err != nil {
		return err
	}
	forever := 24 * time.Hour // the kernel knows of each change: none is made past it
	d.server, err = fs.Mount(d.dir, &node{loopback.(*fs.LoopbackNode), d}, &fs.Options{
		EntryTimeout: &forever,
		AttrTimeout:  &forever,
		MountOptions: fuse.MountOptions{
			Name: "powerfs", DirectMount: true, AllowOther: os.Geteuid() == 0, MaxWrite: 256 << 10,
			ExplicitDataCacheControl: true, DisableXAttrs: true, Options: []string{"default_permissions"},
		},
	})
	if err != nil {
		return fmt.Errorf("mount on %s: %w", d.dir, err)
	}
	return nil
}

// Close unmounts the file system. Its files are gone from dir.
func (d *Disk) Close() error { return d.unmount() }

// unmount also ends the mount where another mount namespace has a copy of it.
func (d *Disk) unmount() error {
	if os.Geteuid() != 0 {
		return d.server.Unmount()
	}
	if err := syscall.Unmount(d.dir, syscall.MNT_FORCE|syscall.MNT_DETACH); err != nil {
		return err
	}
	d.server.Wait()
	return nil
}

// Lie makes the disk report success to each sync from now on, and make nothing
// durable.
func (d *Disk) Lie() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = true
}

// Sync makes everything durable that was written, also on a disk that lies: time
// enough has passed.
func (d *Disk) Sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsynced = map[uint64]*unsynced{}
	d.commit(d.first + len(d.journal))
}

// Cut cuts the power and returns when it is on again. No process may have a file
// open. The file system is mounted anew, so that the kernel's caches are lost.
func (d *Disk) Cut() error {
	if err := d.unmount(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	survive, entries := 0.0, 0
	if d.random.IntN(2) == 0 {
		survive, entries = d.random.Float64(), d.random.IntN(len(d.journal)+1)
	}
	for i := len(d.journal) - 1; i >= entries; i-- {
		if err := d.journal[i].undo(); err != nil {
			return err
		}
	}
	d.journal = d.journal[:entries]
	d.commit(d.first + entries)
	if err := d.lose(survive); err != nil {
		return err
	}
	d.reset()
	return d.mount()
}
