package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// TreeOptions says where to look for a tree.
type TreeOptions struct {
	// Open is how images are opened: AllowOutside, Logger and Files are heeded.
	Open disk.OpenOptions
	// Folder is where images are looked for, or empty.
	Folder string
	// Also are further images, in whatever folder.
	Also []string
	// Only, if not empty, leaves the images that have to do with one of these: those that it is based on, directly or not, and all that are based
	// on those.
	Only []string
}

// Node is an image in a tree.
type Node struct {
	disk.Info       // zero but for Path if the image could not be opened
	Used      int64 // bytes that its own files take on the host
	InUse     bool  // another program is writing to it
	// Problem is why the image does not open above its parent, or at all; nil if it does. Parents further down are not looked at.
	Problem  error
	Internal []disk.Snapshot // that the image keeps in its own file
	Children []*Node         // by path
}

// errCircle is the Problem of an image that is among its own parents.
var errCircle = errors.New("its parents go round in a circle")

// Tree finds how images are based on each other, and returns those that are based on none, by path. Parents that are missing, do not fit, lie elsewhere or
// go round in a circle are named, and are no reason to fail.
func Tree(ctx context.Context, o TreeOptions) ([]*Node, error) {
	files, err := foldersOf(o.Open.Files)
	if err != nil {
		return nil, err
	}
	t := &tree{files: files, open: o.Open, found: map[string]member{}, nodes: map[string]*Node{}, parents: map[string]string{}}
	if o.Folder != "" {
		if err := members(ctx, files, o.Folder, o.Open, func(m member) { t.found[key(m.path)] = m }); err != nil {
			return nil, err
		}
		t.forgetExtents()
	}
	for _, path := range o.Also {
		if _, ok := t.found[key(path)]; !ok {
			t.found[key(path)] = examine(path, files, o.Open)
		}
	}
	if err := t.findParents(ctx); err != nil {
		return nil, err
	}
	roots := t.grow()
	if len(o.Only) == 0 {
		return roots, nil
	}
	only := map[string]bool{}
	for _, path := range o.Only {
		only[key(path)] = true
	}
	return slices.DeleteFunc(roots, func(n *Node) bool { return !n.holds(only) }), nil
}

// tree is a Tree in the making.
type tree struct {
	files folders
	open  disk.OpenOptions
	// All by key.
	found   map[string]member
	nodes   map[string]*Node
	parents map[string]string
}

// key is the same for all paths of a file.
func key(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// forgetExtents drops files that are no images because they are parts of some.
func (t *tree) forgetExtents() {
	for _, m := range t.found {
		for _, f := range m.info.Files[min(1, len(m.info.Files)):] {
			if t.found[key(f)].info.Format == "" {
				delete(t.found, key(f))
			}
		}
	}
}

// findParents looks at parents that are not among the images found so far, and at theirs.
func (t *tree) findParents(ctx context.Context) error {
	for todo := slices.Collect(maps.Values(t.found)); len(todo) > 0; {
		child := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, known := t.found[key(child.parent)]; known || child.parent == "" {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if len(t.found) >= maxMembers {
			return fmt.Errorf("%w: more than %d images", disk.ErrUnsupported, maxMembers)
		}
		m := member{path: child.parent, problem: disk.ErrOutside}
		rel, err := filepath.Rel(filepath.Dir(child.path), child.parent)
		if t.open.AllowOutside || err == nil && filepath.IsLocal(rel) {
			o := t.open
			o.Format = child.parentFormat
			m = examine(child.parent, t.files, o)
		}
		t.found[key(m.path)] = m
		todo = append(todo, m)
	}
	return nil
}

// grow makes nodes of what was found and hangs them up.
func (t *tree) grow() (roots []*Node) {
	keys := slices.Sorted(maps.Keys(t.found))
	for _, k := range keys {
		m := t.found[k]
		n := &Node{Info: m.info, Used: m.used, InUse: m.inUse, Problem: m.problem, Internal: m.internal}
		n.Path = m.path
		t.nodes[k] = n
		if m.parent != "" {
			t.parents[k] = key(m.parent)
		}
	}
	for _, k := range keys {
		switch n, parent := t.nodes[k], t.parents[k]; {
		case parent == "":
			roots = append(roots, n)
		case t.circular(k):
			n.Problem = errCircle
			roots = append(roots, n)
		default:
			t.nodes[parent].Children = append(t.nodes[parent].Children, n)
		}
	}
	byPath := func(a, b *Node) int { return cmp.Compare(a.Path, b.Path) }
	for _, n := range t.nodes {
		slices.SortFunc(n.Children, byPath)
	}
	slices.SortFunc(roots, byPath)
	return roots
}

// circular says whether k is the first by its name in a circle of parents.
func (t *tree) circular(k string) bool {
	at, first := k, k
	for range t.nodes {
		if at = t.parents[at]; at == "" || at == k {
			return at == k && first == k
		}
		first = min(first, at)
	}
	return false
}

// holds says whether n or an image below it has one of the keys.
func (n *Node) holds(keys map[string]bool) bool {
	return keys[key(n.Path)] || slices.ContainsFunc(n.Children, func(c *Node) bool { return c.holds(keys) })
}
