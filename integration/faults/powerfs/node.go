package powerfs

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A node is a file or a directory.
type node struct {
	*fs.LoopbackNode
	d *Disk
}

func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.d}
}

func (n *node) ino() uint64              { return n.StableAttr().Ino }
func (n *node) path() string             { return filepath.Join(n.d.root, n.Path(n.Root())) }
func (n *node) child(name string) string { return filepath.Join(n.path(), name) }

// backing returns the flags to open the backing file with: what is overwritten has
// to be read before, and nothing has to reach the machine's own disk.
func backing(flags uint32) uint32 {
	if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		flags = flags&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	return flags &^ (syscall.O_SYNC | syscall.O_DSYNC | syscall.O_DIRECT | syscall.O_APPEND | syscall.O_TRUNC)
}

// Open is not asked to truncate: the kernel calls Setattr before.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, _, errno := n.LoopbackNode.Open(ctx, backing(flags))
	if errno != 0 {
		return nil, 0, errno
	}
	return n.d.file(handle, n.EmbeddedInode(), flags), fuse.FOPEN_KEEP_CACHE, 0
}

// Tmpfile is not supported, which programs expect of file systems.
func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOTSUP
}

func (n *node) Setattr(ctx context.Context, handle fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if err := n.resize(ctx, handle, int64(size)); err != nil {
			return fs.ToErrno(err)
		}
	}
	return n.LoopbackNode.Setattr(ctx, handle, in, out)
}

// resize prepares a change of the file's size.
func (n *node) resize(ctx context.Context, handle fs.FileHandle, size int64) error {
	reader, ok := handle.(io.ReaderAt)
	if !ok {
		opened, err := os.Open(n.path())
		if err != nil {
			return err
		}
		defer opened.Close()
		reader = opened
	}
	var before fuse.AttrOut
	if errno := n.Getattr(ctx, handle, &before); errno != 0 {
		return errno
	}
	if size < int64(before.Size) {
		return n.d.shorten(n.ino(), reader, int64(before.Size), size)
	}
	n.d.of(n.ino(), int64(before.Size))
	return nil
}

func (n *node) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	stream, errno := fs.NewLoopbackDirStream(n.path())
	if errno != 0 {
		return nil, 0, errno
	}
	return &directory{stream.(loopbackDirectory), n}, 0, 0
}

type loopbackDirectory interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

// A directory is an open directory.
type directory struct {
	loopbackDirectory
	node *node
}

func (o *directory) Fsyncdir(context.Context, uint32) syscall.Errno {
	o.node.d.mu.Lock()
	defer o.node.d.mu.Unlock()
	o.node.d.sync(o.node.ino())
	return 0
}

// A file is an open file.
type file struct {
	*fs.LoopbackFile
	d      *Disk
	ino    uint64
	synced bool // each write is
}

func (d *Disk) file(handle fs.FileHandle, of *fs.Inode, flags uint32) *file {
	return &file{handle.(*fs.LoopbackFile), d, of.StableAttr().Ino, flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}
}

// PassthroughFd returns none, so that no write is made past this file system.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	result, errno := f.Read(context.Background(), p, offset)
	if errno != 0 {
		return 0, errno
	}
	defer result.Done()
	text, status := result.Bytes(p)
	if !status.Ok() {
		return 0, syscall.Errno(status)
	}
	if len(text) < len(p) {
		return len(text), io.EOF
	}
	return len(text), nil
}

func (f *file) unsynced(ctx context.Context) (*unsynced, syscall.Errno) {
	var now fuse.AttrOut
	errno := f.Getattr(ctx, &now)
	return f.d.of(f.ino, int64(now.Size)), errno
}

func (f *file) Write(ctx context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	u, errno := f.unsynced(ctx)
	if errno != 0 {
		return 0, errno
	}
	if err := u.keep(f, offset, int64(len(data))); err != nil {
		return 0, fs.ToErrno(err)
	}
	n, errno := f.LoopbackFile.Write(ctx, data, offset)
	if f.synced && errno == 0 {
		f.d.sync(f.ino)
	}
	return n, errno
}

// Allocate only makes room.
func (f *file) Allocate(ctx context.Context, offset, size uint64, mode uint32) syscall.Errno {
	const keepSize = 1
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if mode&^keepSize != 0 {
		return syscall.ENOTSUP
	}
	if _, errno := f.unsynced(ctx); errno != 0 {
		return errno
	}
	return f.LoopbackFile.Allocate(ctx, offset, size, mode)
}

func (f *file) Fsync(context.Context, uint32) syscall.Errno {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.sync(f.ino)
	return 0
}
