package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// ErrConfined says that a file cannot be opened again in this sandbox: without Landlock, none can.
var ErrConfined = errors.New("out of reach in the sandbox")

// File is a file of the host that a confined process can open again, for reading, because others replace its contents.
//
// The filter cannot look at a path, but it can look at where the path lies in memory: that is fixed when the sandbox is entered, in a page
// which cannot be written. So an attempt to open anything else is refused and logged, whatever Landlock would say to it. Who
// controls the process can put another page there; Landlock stands behind.
type File struct {
	path  string
	where pathPointer // set by pin
	state atomic.Int32
}

const (
	fileOpen     = iota // no sandbox yet
	filePinned          // opened by where its path lies
	fileConfined        // out of reach
)

// NewFile names a file. It need not exist.
func NewFile(path string) *File { return &File{path: path} }

// Open opens the file for reading.
func (f *File) Open() (*os.File, error) {
	switch f.state.Load() {
	case filePinned:
		return f.openPinned()
	case fileConfined:
		return nil, fmt.Errorf("open %s: %w", f.path, ErrConfined)
	}
	return os.Open(f.path)
}

// permit adds Landlock's rules for the file. One that a service keeps in a folder of its own, reached by a link, is replaced by
// renaming: the rule is for the folder then. A file right in a folder of others' can be followed while it is the same file.
func (f *File) permit(rules int) error {
	real, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return nil // there is none to permit
	}
	if folder := filepath.Dir(real); folder != filepath.Dir(f.path) && ownFolder(folder) {
		return permitReading(rules, folder)
	}
	return permitReading(rules, real)
}

// ownFolder tells /run/systemd/resolve from /etc: services keep their own folders below /run.
func ownFolder(folder string) bool {
	rest, ok := strings.CutPrefix(folder, "/run/")
	return ok && rest != ""
}

// confine ends the time in which files can be opened by name.
func confine(files []*File, landlocked bool) {
	for _, f := range files {
		if landlocked && f.where != nil {
			f.state.Store(filePinned)
		} else {
			f.state.Store(fileConfined)
		}
	}
}
