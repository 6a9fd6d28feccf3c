package fuse

import (
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/sharevm/vmm/disk"
)

// The kernel's numbers of the root and of a file below it.
const (
	rootNode  = gofuse.FUSE_ROOT_ID
	childNode = rootNode + 1
)

// fileSystem is a file, alone or in a folder.
type fileSystem struct {
	gofuse.RawFileSystem
	image    disk.Image
	readOnly bool
	name     string // in the folder; empty: the file is the root
	log      *slog.Logger
	troubles atomic.Int32
	stored   stored
	modified atomic.Int64 // nanoseconds since 1970
}

func newFileSystem(i disk.Image, o Options) *fileSystem {
	f := &fileSystem{RawFileSystem: gofuse.NewDefaultRawFileSystem(), image: i, readOnly: o.ReadOnly, log: o.Logger}
	f.modified.Store(time.Now().UnixNano())
	if st, err := os.Stat(i.Info().Path); err == nil {
		f.modified.Store(st.ModTime().UnixNano())
	}
	f.stored.changed.Store(true)
	return f
}

func (f *fileSystem) String() string { return "vmm" }

// attributesLast is how long the kernel may believe what it was told of the file.
const attributesLast = time.Second

// stat fills in what node looks like, and returns false if there is no such node.
func (f *fileSystem) stat(node uint64, a *gofuse.Attr) bool {
	*a = gofuse.Attr{Ino: node, Nlink: 1, Blksize: maxTransfer, Owner: gofuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}}
	at := time.Unix(0, f.modified.Load())
	a.SetTimes(&at, &at, &at)
	switch {
	case node == rootNode && f.name != "":
		a.Mode, a.Nlink = syscall.S_IFDIR|0o500, 2
		return true
	case node == rootNode, node == childNode && f.name != "":
		a.Mode = syscall.S_IFREG | 0o400
		if !f.readOnly {
			a.Mode |= 0o200
		}
		a.Size = uint64(f.image.Size())
		a.Blocks = (f.stored.bytes(f.image) + 511) / 512
		return true
	}
	return false
}

// Lookup implements [gofuse.RawFileSystem], as all of the following do.
func (f *fileSystem) Lookup(_ <-chan struct{}, h *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	if h.NodeId != rootNode || f.name == "" || name != f.name {
		return gofuse.ENOENT
	}
	f.stat(childNode, &out.Attr)
	out.NodeId, out.Generation = childNode, 1
	out.SetEntryTimeout(attributesLast)
	out.SetAttrTimeout(attributesLast)
	return gofuse.OK
}

// GetAttr is stat(2).
func (f *fileSystem) GetAttr(_ <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	if !f.stat(in.NodeId, &out.Attr) {
		return gofuse.ENOENT
	}
	out.SetTimeout(attributesLast)
	return gofuse.OK
}

// SetAttr accepts new times. The size of a disk is what it is.
func (f *fileSystem) SetAttr(_ <-chan struct{}, in *gofuse.SetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	if size, ok := in.GetSize(); ok && size != uint64(f.image.Size()) {
		return gofuse.EPERM
	}
	if in.Valid&(gofuse.FATTR_MODE|gofuse.FATTR_UID|gofuse.FATTR_GID) != 0 {
		return gofuse.EPERM
	}
	if at, ok := in.GetMTime(); ok {
		f.modified.Store(at.UnixNano())
	}
	return f.GetAttr(nil, &gofuse.GetAttrIn{InHeader: in.InHeader}, out)
}

// StatFs is statfs(2).
func (f *fileSystem) StatFs(_ <-chan struct{}, _ *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	const block = 4096
	*out = gofuse.StatfsOut{Bsize: block, Frsize: block, Blocks: uint64(f.image.Size()+block-1) / block, Files: 1, NameLen: 255}
	return gofuse.OK
}

// OpenDir lets ReadDir be called.
func (f *fileSystem) OpenDir(_ <-chan struct{}, in *gofuse.OpenIn, _ *gofuse.OpenOut) gofuse.Status {
	if in.NodeId != rootNode || f.name == "" {
		return gofuse.ENOTDIR
	}
	return gofuse.OK
}

// ReadDir lists the folder.
func (f *fileSystem) ReadDir(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	entries := [...]gofuse.DirEntry{
		{Name: ".", Mode: syscall.S_IFDIR, Ino: rootNode}, {Name: "..", Mode: syscall.S_IFDIR}, {Name: f.name, Mode: syscall.S_IFREG, Ino: childNode},
	}
	for k := in.Offset; k < uint64(len(entries)); k++ {
		if !out.AddDirEntry(entries[k]) {
			break
		}
	}
	return gofuse.OK
}

// trouble returns the status for what the image returned, and logs the first errors.
func (f *fileSystem) trouble(doing string, off int64, err error) gofuse.Status {
	if err == nil {
		return gofuse.OK
	}
	const most = 100 // lines
	if f.troubles.Add(1) <= most {
		f.log.Warn("request to a mounted disk failed", "doing", doing, "offset", off, "err", err)
	}
	return statusOf(err)
}

// stored keeps how much of the image is data. To count it may take a while, so it is not counted at each stat of a file that is being written.
type stored struct {
	changed atomic.Bool

	mu    sync.Mutex
	when  time.Time // of the last count
	count uint64    // bytes
}

// recount is how often to count at most, and countFor how long; what is left is taken for data then.
const (
	recount  = 5 * time.Second
	countFor = 100 * time.Millisecond
)

func (s *stored) bytes(i disk.Image) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.changed.Load() || !s.when.IsZero() && time.Since(s.when) < recount {
		return s.count
	}
	s.changed.Store(false)
	s.when = time.Now()
	n, seen, extents := int64(0), int64(0), 0
	err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
		seen += e.Length
		if e.Kind == disk.Data {
			n += e.Length
		}
		extents++
		return extents%1024 != 0 || time.Since(s.when) < countFor
	})
	if err != nil {
		n = 0 // reading will say what is wrong
	}
	s.count = uint64(n + i.Size() - seen)
	return s.count
}
