package powerfs

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A change is an entry of the journal.
type change struct {
	undo func() error
	done func() // may be nil; called when the entry is durable
}

// changed adds an entry that concerns the files and directories with these numbers.
func (d *Disk) changed(c change, inos ...uint64) {
	d.journal = append(d.journal, c)
	for _, ino := range inos {
		d.last[ino] = d.first + len(d.journal)
	}
}

// sync makes a file or a directory durable.
func (d *Disk) sync(ino uint64) {
	if d.lies {
		return
	}
	delete(d.unsynced, ino)
	d.commit(d.last[ino])
}

// commit makes the entries before one durable.
func (d *Disk) commit(before int) {
	n := max(before-d.first, 0)
	for _, c := range d.journal[:n] {
		if c.done != nil {
			c.done()
		}
	}
	d.journal, d.first = d.journal[n:], d.first+n
}

// created enters that a name was created.
func (n *node) created(name string, child *fs.Inode) {
	path, ino := n.child(name), child.StableAttr().Ino
	n.d.changed(change{undo: func() error { return os.Remove(path) }}, n.ino(), ino)
}

// create makes a name by do, and enters it.
func (n *node) create(name string, do func() (*fs.Inode, syscall.Errno)) (*fs.Inode, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	child, errno := do()
	if errno == 0 {
		n.created(name, child)
	}
	return child, errno
}

// remove takes away a file. The returned change has not been entered.
func (d *Disk) remove(path string) (c change, ino uint64, err error) {
	var info syscall.Stat_t
	if err := syscall.Lstat(path, &info); err != nil {
		return c, 0, err
	}
	d.removed++
	lost := filepath.Join(d.lost, strconv.Itoa(d.removed))
	c.undo = func() error { return os.Rename(lost, path) }
	c.done = func() {
		if info.Nlink == 1 {
			delete(d.unsynced, info.Ino)
		}
		_ = os.Remove(lost)
	}
	return c, info.Ino, os.Rename(path, lost)
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	child, handle, _, errno := n.LoopbackNode.Create(ctx, name, backing(flags), mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	delete(n.d.unsynced, child.StableAttr().Ino) // of a removed file that had this number
	n.created(name, child)
	return child, n.d.file(handle, child, flags), fuse.FOPEN_KEEP_CACHE, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(name, func() (*fs.Inode, syscall.Errno) { return n.LoopbackNode.Mkdir(ctx, name, mode, out) })
}

func (n *node) Mknod(ctx context.Context, name string, mode, device uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(name, func() (*fs.Inode, syscall.Errno) { return n.LoopbackNode.Mknod(ctx, name, mode, device, out) })
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(name, func() (*fs.Inode, syscall.Errno) { return n.LoopbackNode.Symlink(ctx, target, name, out) })
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.create(name, func() (*fs.Inode, syscall.Errno) { return n.LoopbackNode.Link(ctx, target, name, out) })
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	c, ino, err := n.d.remove(n.child(name))
	if err != nil {
		return fs.ToErrno(err)
	}
	n.d.changed(c, n.ino(), ino)
	return 0
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	path := n.child(name)
	var info syscall.Stat_t
	if err := syscall.Lstat(path, &info); err != nil {
		return fs.ToErrno(err)
	}
	if err := syscall.Rmdir(path); err != nil {
		return fs.ToErrno(err)
	}
	n.d.changed(change{undo: func() error {
		if err := syscall.Mkdir(path, info.Mode&0o7777); err != nil {
			return err
		}
		return os.Lchown(path, int(info.Uid), int(info.Gid))
	}}, n.ino())
	return 0
}

// Rename may replace a file, but no directory.
func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.EINVAL
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	to := parent.(*node)
	from, path := n.child(name), to.child(newName)
	var info syscall.Stat_t
	if err := syscall.Lstat(from, &info); err != nil {
		return fs.ToErrno(err)
	}
	c, inos := change{undo: func() error { return nil }}, []uint64{n.ino(), to.ino(), info.Ino}
	if target, err := os.Lstat(path); err == nil {
		if target.IsDir() {
			return syscall.ENOTEMPTY
		}
		removed, ino, err := n.d.remove(path)
		if err != nil {
			return fs.ToErrno(err)
		}
		c, inos = removed, append(inos, ino)
	}
	if err := os.Rename(from, path); err != nil {
		_ = c.undo()
		return fs.ToErrno(err)
	}
	restore := c.undo
	c.undo = func() error {
		if err := os.Rename(path, from); err != nil {
			return err
		}
		return restore()
	}
	n.d.changed(c, inos...)
	return 0
}
