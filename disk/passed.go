package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Passed opens files that another process has opened, for one that may open none itself: by their paths, absolute and clean. Each can be opened once.
type Passed struct {
	files map[string]*os.File
	// readers are those that were opened for reading only, and are not locked yet.
	readers []*hostFile
}

// NewPassed takes the files over.
func NewPassed(files map[string]*os.File) *Passed { return &Passed{files: files} }

// Open implements [Files]. What is opened for reading only is not locked, since its writer may still be there; Lock does that later. It is confined to the
// files that were passed, and so to no folder.
func (p *Passed) Open(path string, o FileOptions) (File, error) {
	path = filepath.Clean(o.Place(path))
	f := p.files[path]
	if f == nil || o.Create {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	locked := o.Write && !o.Shared
	o.Shared = !locked
	h, err := newHostFile(f, path, o)
	if err != nil {
		return nil, err
	}
	delete(p.files, path)
	if !locked {
		p.readers = append(p.readers, h)
	}
	return h, nil
}

// Remove implements [Files]; nothing can be removed.
func (p *Passed) Remove(path string) error {
	return fmt.Errorf("remove %s: %w", path, ErrUnsupported)
}

// Lock takes the locks of a reader on what was opened for reading.
func (p *Passed) Lock() error {
	for _, h := range p.readers {
		if err := lock(h.raw, false); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	p.readers = nil
	return nil
}

// Close closes what was not opened.
func (p *Passed) Close() {
	for _, f := range p.files {
		f.Close()
	}
	p.files = nil
}
