// Package chain opens the parents of images that store only what differs from another image, and reads through to them.
//
// A parent is opened for reading only, with the locks of a reader, so that nobody changes it meanwhile. What an image says about
// its parent is hostile input: the name must stay below the image's folder unless that is allowed, and a chain ends
// after [MaxDepth] images or when it returns to one that it has passed.
package chain

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// MaxDepth is how many images a chain may have. VMware's own limit is 32.
const MaxDepth = 64

// Link is what an image says about its parent.
type Link struct {
	Child string // path of the image that has the parent
	// Names are where the parent may be, the likeliest first: relative to the child's folder, or absolute. The first one that is there is
	// taken. They have / between folders.
	Names []string
	// Format of the parent, or empty to go by its name.
	Format string
	// Own opens an image of the child's own format, for callers that know no other.
	Own func(path string, o disk.OpenOptions) (disk.Image, error)
}

// Open opens the parent of an image that was opened with o.
func (l Link) Open(o disk.OpenOptions) (disk.Image, error) {
	if len(o.Children)+1 >= MaxDepth {
		return nil, disk.Corrupt(l.Child, -1, "a chain of more than %d images", MaxDepth)
	}
	if len(l.Names) == 0 {
		return nil, disk.Corrupt(l.Child, -1, "it has a parent but does not say where")
	}
	open := o.Parents
	if open == nil {
		open = l.Own
	}
	folder := filepath.Dir(l.Child)
	o.ReadOnly, o.Format = true, l.Format
	o.Children = append(slices.Clone(o.Children), l.Child)
	o.Within = folder
	if o.AllowOutside {
		o.Within = ""
	}
	var first error
	for _, name := range l.Names {
		img, err := l.try(name, folder, open, o)
		if err == nil {
			return img, nil
		}
		if first == nil {
			first = err
		}
		if missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, disk.ErrOutside); !missing || errors.As(err, new(*parentError)) {
			first = err
			break
		}
	}
	return nil, &parentError{l.Child, first}
}

// parentError says why an image's parent cannot be opened. Where it comes from a parent, that one is there: to try its other names as well would open each image of a
// chain once for every way that leads to it, of which there can be two to the power of its length.
type parentError struct {
	child string
	err   error
}

// Error implements error.
func (e *parentError) Error() string { return fmt.Sprintf("%s: open its parent: %v", e.child, e.err) }

// Unwrap gives the reason.
func (e *parentError) Unwrap() error { return e.err }

func (l Link) try(name, folder string, open func(string, disk.OpenOptions) (disk.Image, error), o disk.OpenOptions) (disk.Image, error) {
	path := filepath.FromSlash(name)
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	} else if below, ok := inside(folder, path); ok {
		name, path = below, filepath.Join(folder, below)
	}
	if o.Within != "" && !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("%w: %q is not below %s (allow it explicitly if you trust this image)", disk.ErrOutside, name, folder)
	}
	for _, child := range o.Children {
		if same(child, path) {
			return nil, disk.Corrupt(l.Child, -1, "the chain of parents goes round in a circle: it returns to %s", path)
		}
	}
	return open(path, o)
}

// inside returns an absolute path from folder on, if it lies there by its text.
func inside(folder, path string) (string, bool) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return "", false
	}
	below, err := filepath.Rel(abs, path)
	return below, err == nil && filepath.IsLocal(below)
}

// same compares paths by their text. A circle through links ends at MaxDepth.
func same(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// Stale is the error for a parent that the child was not made from: what says how that shows, in a few words.
func Stale(child, parent, what string) error {
	return fmt.Errorf("%s: %w: %s was changed or replaced after this image was made from it (%s), so that together they make no sense; "+
		"put the right parent back, or allow a stale parent explicitly", child, disk.ErrStaleParent, parent, what)
}

// Base opens the image that o.Parent names, for an image at path that is made or linked anew, and returns it with the name to record:
// relative to path's folder, with / between folders. Own is as in [Link].
func Base(path string, o disk.CreateOptions, own func(string, disk.OpenOptions) (disk.Image, error)) (disk.Image, string, error) {
	open := o.Parents
	if open == nil {
		open = own
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, "", err
	}
	parent, err := filepath.Abs(o.Parent)
	if err != nil {
		return nil, "", err
	}
	name, err := filepath.Rel(folder, parent)
	if err != nil {
		return nil, "", err
	}
	if same(path, parent) {
		return nil, "", fmt.Errorf("an image cannot be its own parent")
	}
	img, err := open(o.Parent, disk.OpenOptions{
		ReadOnly: true, Format: o.ParentFormat, AllowOutside: o.AllowOutside, Parents: o.Parents, Logger: o.Logger, Files: o.Files,
		Children: []string{path},
	})
	if err != nil {
		return nil, "", fmt.Errorf("open the parent: %w", err)
	}
	return img, filepath.ToSlash(name), nil
}
