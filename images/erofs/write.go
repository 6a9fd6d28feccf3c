package erofs

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	blockSize = 4096
	maxName   = 255

	superAt   = 1024
	superLen  = 128
	superNote = 0xE0F5E1E2
	inodeLen  = 32
	direntLen = 12

	// maxInodes keeps every inode where 32 bits of number reach it.
	maxInodes = 1 << 24
)

// Bits of st_mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// Kinds of a folder's entries, as in FT_* of linux/fs_types.h.
const (
	kindFile = 1
	kindDir  = 2
	kindLink = 7
)

// Config says what else an image holds.
type Config struct {
	Label string    // at most 16 bytes
	UUID  [16]byte  //
	Time  time.Time // of everything in it
}

// Write writes an image of the files, a whole number of blocks, and returns its length in bytes.
func Write(w io.Writer, files []File, c Config) (int64, error) {
	if len(c.Label) > 16 {
		return 0, fmt.Errorf("erofs: the label %q is longer than 16 bytes", c.Label)
	}
	root, err := plant(files)
	if err != nil {
		return 0, err
	}
	l, err := arrange(root)
	if err != nil {
		return 0, err
	}
	o := &output{w: w}
	o.write(l.super(c))
	for _, n := range l.nodes {
		o.write(n.inode())
	}
	o.pad()
	for _, n := range l.nodes {
		o.content(n)
		o.pad()
	}
	if o.err == nil && o.off != int64(l.blocks)*blockSize {
		o.err = fmt.Errorf("erofs: %d bytes were written instead of %d: a file changed meanwhile", o.off, int64(l.blocks)*blockSize)
	}
	return o.off, o.err
}

// image is where everything lies.
type image struct {
	nodes  []*node // in the order of their inodes, the root first
	blocks uint32
}

// arrange gives each node its inode and its blocks: behind the superblock all inodes, then all data.
func arrange(root *node) (*image, error) {
	l := &image{}
	err := root.walk(func(n *node) error {
		n.nid = uint64(superAt+superLen)/inodeLen + uint64(len(l.nodes))
		l.nodes = append(l.nodes, n)
		return n.measure()
	})
	if err != nil {
		return nil, err
	}
	if len(l.nodes) > maxInodes {
		return nil, fmt.Errorf("erofs: %d files, more than %d", len(l.nodes), maxInodes)
	}
	next := blocksOf(superAt + superLen + int64(len(l.nodes))*inodeLen)
	for _, n := range l.nodes {
		if n.children != nil {
			n.entries = n.dirents()
		}
		n.block = uint32(next)
		if next += blocksOf(n.size); next > 1<<32-1 {
			return nil, fmt.Errorf("erofs: more than %d blocks", uint64(1<<32-1))
		}
	}
	l.blocks = uint32(next)
	return l, nil
}

func blocksOf(size int64) int64 { return (size + blockSize - 1) / blockSize }

// super is everything in front of the inodes: struct erofs_super_block, without a checksum.
func (l *image) super(c Config) []byte {
	b := make([]byte, superAt+superLen)
	s := b[superAt:]
	le := binary.LittleEndian
	le.PutUint32(s, superNote)
	s[12] = 12 // log2 of the block size
	le.PutUint16(s[14:], uint16(l.nodes[0].nid))
	le.PutUint64(s[16:], uint64(len(l.nodes)))
	le.PutUint64(s[24:], uint64(c.Time.Unix()))
	le.PutUint32(s[32:], uint32(c.Time.Nanosecond()))
	le.PutUint32(s[36:], l.blocks)
	copy(s[48:], c.UUID[:])
	copy(s[64:], c.Label)
	return b
}

// inode is struct erofs_inode_compact with the layout FLAT_PLAIN.
func (n *node) inode() []byte {
	b := make([]byte, inodeLen)
	le := binary.LittleEndian
	le.PutUint16(b[4:], uint16(n.mode()))
	links := 1
	if n.children != nil {
		links = 2
		for _, c := range n.children {
			if c.children != nil {
				links++
			}
		}
	}
	le.PutUint16(b[6:], uint16(links))
	le.PutUint32(b[8:], uint32(n.size))
	le.PutUint32(b[16:], n.block)
	le.PutUint32(b[20:], uint32(n.nid))
	return b
}

func (n *node) mode() uint32 {
	perm := n.file.Mode & 0o7777
	switch {
	case n.children != nil:
		if perm == 0 {
			perm = 0o755
		}
		return modeDir | perm
	case n.file.Link != "":
		return modeLink | 0o777
	case perm == 0:
		perm = 0o644
	}
	return modeFile | perm
}

// entry is one line of a folder.
type entry struct {
	name string
	node *node
}

// sorted are a folder's lines in order, "." and ".." among them: neither need be the first.
func (n *node) sorted() []entry {
	all := []entry{{".", n}, {"..", n.parent}}
	for name, c := range n.children {
		all = append(all, entry{name, c})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// pages groups a folder's lines by the block that they fit into.
func (n *node) pages() (pages [][]entry) {
	used := blockSize + 1
	for _, e := range n.sorted() {
		need := direntLen + len(e.name)
		if used+need > blockSize {
			pages, used = append(pages, nil), 0
		}
		used += need
		last := &pages[len(pages)-1]
		*last = append(*last, e)
	}
	return pages
}

// dirSize is the length of a folder's data: whole blocks, and of the last as much as is used.
func (n *node) dirSize() int64 {
	pages := n.pages()
	size := int64(len(pages)-1) * blockSize
	for _, e := range pages[len(pages)-1] {
		size += int64(direntLen + len(e.name))
	}
	return size
}

// dirents is a folder's data: in each block an array of struct erofs_dirent, then the names.
func (n *node) dirents() []byte {
	var out []byte
	le := binary.LittleEndian
	for _, page := range n.pages() {
		out = append(out, make([]byte, -len(out)&(blockSize-1))...)
		at := direntLen * len(page)
		for _, e := range page {
			out = le.AppendUint64(out, e.node.nid)
			out = le.AppendUint16(out, uint16(at))
			out = append(out, e.node.kind(), 0)
			at += len(e.name)
		}
		for _, e := range page {
			out = append(out, e.name...)
		}
	}
	return out
}

func (n *node) kind() byte {
	switch {
	case n.children != nil:
		return kindDir
	case n.file.Link != "":
		return kindLink
	}
	return kindFile
}

// output counts what it writes, and remembers its first error.
type output struct {
	w   io.Writer
	off int64
	err error
}

func (o *output) write(b []byte) {
	if o.err == nil {
		var n int
		n, o.err = o.w.Write(b)
		o.off += int64(n)
	}
}

// pad fills the block.
func (o *output) pad() {
	var zeros [blockSize]byte
	o.write(zeros[:-o.off&(blockSize-1)])
}

// content writes what a node holds.
func (o *output) content(n *node) {
	switch {
	case o.err != nil:
	case n.children != nil:
		o.write(n.entries)
	case n.file.Link != "":
		o.write([]byte(n.file.Link))
	case n.file.Path != "":
		o.copy(n)
	default:
		o.write(n.file.Data)
	}
}

// copy writes a file of the host, exactly as long as it was measured.
func (o *output) copy(n *node) {
	f, err := os.Open(n.file.Path)
	if err != nil {
		o.err = fmt.Errorf("erofs: %w", err)
		return
	}
	defer f.Close()
	m, err := io.Copy(o.w, io.LimitReader(f, n.size))
	o.off += m
	if err == nil && m != n.size {
		err = fmt.Errorf("%s became shorter: %w", n.file.Path, fs.ErrInvalid)
	}
	if err != nil {
		o.err = fmt.Errorf("erofs: %w", err)
	}
}
