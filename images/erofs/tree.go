package erofs

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// File is one entry of an image: a regular file, a symbolic link when Link is set, or an empty folder when Dir is.
type File struct {
	Name string // path in the image; folders above it come by themselves
	Mode uint32 // permission bits, set-user-ID included; 0 stands for 0644, for a folder 0755
	Path string // file of the host to read, or
	Data []byte // what the file holds
	Link string // target of a symbolic link
	Dir  bool
}

// node is an inode in the making.
type node struct {
	file     File
	children map[string]*node // of a folder
	parent   *node
	size     int64
	nid      uint64
	block    uint32 // of the first byte of data
	entries  []byte // what a folder's data is
}

func newFolder(parent *node, f File) *node {
	return &node{file: f, parent: parent, children: map[string]*node{}}
}

// plant makes a tree of files.
func plant(files []File) (*node, error) {
	root := newFolder(nil, File{Dir: true})
	root.parent = root
	for _, f := range files {
		if err := root.add(f); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (n *node) add(f File) error {
	name := strings.TrimPrefix(path.Clean("/"+f.Name), "/")
	if name == "" || strings.ContainsRune(name, 0) {
		return fmt.Errorf("erofs: %q can't be the name of a file", f.Name)
	}
	at := n
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if len(p) > maxName {
			return fmt.Errorf("erofs: a name of %d bytes in %q, more than %d", len(p), name, maxName)
		}
		next, last := at.children[p], i == len(parts)-1
		switch {
		case next == nil && (!last || f.Dir):
			next = newFolder(at, File{Dir: true})
			at.children[p] = next
		case next == nil:
			next = &node{file: f, parent: at}
			at.children[p] = next
		case next.children == nil || last && !f.Dir:
			return fmt.Errorf("erofs: %q is there twice", strings.Join(parts[:i+1], "/"))
		}
		if last && f.Dir {
			next.file.Mode = f.Mode
		}
		at = next
	}
	return nil
}

// names are a folder's entries in the order of the format, by bytes, without "." and "..".
func (n *node) names() []string {
	out := make([]string, 0, len(n.children))
	for name := range n.children {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// walk visits a folder and all below it, parents first.
func (n *node) walk(visit func(*node) error) error {
	if err := visit(n); err != nil {
		return err
	}
	for _, name := range n.names() {
		if err := n.children[name].walk(visit); err != nil {
			return err
		}
	}
	return nil
}

// measure finds out the size of what a node holds.
func (n *node) measure() error {
	switch {
	case n.children != nil:
		n.size = n.dirSize()
	case n.file.Link != "":
		n.size = int64(len(n.file.Link))
	case n.file.Path != "":
		st, err := os.Stat(n.file.Path)
		if err != nil {
			return fmt.Errorf("erofs: %w", err)
		}
		if !st.Mode().IsRegular() {
			return fmt.Errorf("erofs: %s is not a regular file", n.file.Path)
		}
		n.size = st.Size()
	default:
		n.size = int64(len(n.file.Data))
	}
	if n.size > 1<<32-1 {
		return fmt.Errorf("erofs: %s has %d bytes, more than a compact inode can say", n.file.Name, n.size)
	}
	return nil
}
