package tftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of a folder: each of its files is open as long as it is.
const (
	MaxFiles = 512
	maxDepth = 16            // folders within each other; links may make a circle
	maxNames = 16 * MaxFiles // looked at: links to folders with links make more of them than anybody could list
)

// Folder is a folder whose files can be read.
type Folder struct {
	files map[string]*os.File
	names int // looked at so far
}

// OpenFolder opens every file of a folder and of those in it. Links are followed as far as they stay inside; files that come later are not seen. It errs
// where there are more than MaxFiles, or many more names than that, and for a file that cannot be read or lies elsewhere.
func OpenFolder(name string) (_ *Folder, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("TFTP folder %s: %w", name, err)
		}
	}()
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f := &Folder{files: make(map[string]*os.File)}
	if err := f.open(root, ".", 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Folder) open(root *os.Root, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d folders within each other", dir, maxDepth)
	}
	entries, err := list(root, dir, maxNames-f.names+1)
	if err != nil {
		return err
	}
	if f.names += len(entries); f.names > maxNames {
		return fmt.Errorf("more than %d names", maxNames)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		info, err := root.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a link to nothing
		case err != nil:
			return err
		case info.IsDir():
			if err := f.open(root, name, depth+1); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			if len(f.files) == MaxFiles {
				return fmt.Errorf("more than %d files", MaxFiles)
			}
			// Without waiting, in case that it has become a pipe since.
			file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				return err
			}
			f.files[name] = file
		}
	}
	return nil
}

// list returns what is in a folder, at most so many names.
func list(root *os.Root, dir string, most int) ([]fs.DirEntry, error) {
	d, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(most)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

// Close closes the files.
func (f *Folder) Close() error {
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// find returns the file that a client names, with the size that it has now. Clients part folders as Windows does, too, and begin with the root or not.
func (f *Folder) find(name string) (*os.File, int64, error) {
	file, ok := f.files[strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")]
	if !ok {
		return nil, 0, &Error{CodeNotFound, "no such file"}
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, 0, err
	}
	return file, info.Size(), nil
}
