package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// output is a new image that is made in a hidden folder beside its place, because its files name each other and therefore need their final
// names from the start, and then moved there. The folder is locked as long as somebody works in it, so that what a killed
// program left is recognised and removed by the next.
type output struct {
	path  string // of the image in the hidden folder
	final string
	force bool
	keep  []string // files that must not be replaced in any case
	dir   *os.File
}

// newOutput prepares to make an image at path, which must not exist unless force is set, and must not be one of keep.
func newOutput(path string, force bool, keep []string) (*output, error) {
	o := &output{final: path, force: force, keep: keep}
	if err := o.free(path); err != nil {
		return nil, err
	}
	folder, prefix := filepath.Dir(path), "."+filepath.Base(path)+".part-"
	sweep(folder, prefix)
	const tries = 10 // a sweep may take a folder away before it is locked
	for range tries {
		name, err := os.MkdirTemp(folder, prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: make a folder to work in: %w", path, err)
		}
		if o.dir = lockFolder(name); o.dir != nil {
			o.path = filepath.Join(name, filepath.Base(path))
			return o, nil
		}
		_ = os.Remove(name)
	}
	return nil, fmt.Errorf("%s: %w: other programs are making it", path, disk.ErrLocked)
}

// lockFolder opens and locks a folder, or returns nil if it is gone or in use.
func lockFolder(path string) *os.File {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	locked := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	here, errHere := f.Stat()
	there, errThere := os.Lstat(path) // only now: whoever had the lock may have removed it
	if !locked || errHere != nil || errThere != nil || !os.SameFile(here, there) {
		f.Close()
		return nil
	}
	return f
}

// sweep removes folders that earlier programs left when they were killed. What cannot be removed stays.
func sweep(folder, prefix string) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range list {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		if f := lockFolder(path); f != nil {
			_ = os.RemoveAll(path)
			f.Close()
		}
	}
}

// free returns an error if path is taken and may not be replaced.
func (o *output) free(path string) error {
	old, err := o.hold(path)
	if old != nil {
		old.Close()
	}
	return err
}

// hold opens and locks the file that is at path so that it can be replaced: nil if there is none.
func (o *output) hold(path string) (disk.File, error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file (%s)", path, st.Mode().Type())
	}
	for _, k := range o.keep {
		if kept, err := os.Stat(k); err == nil && os.SameFile(st, kept) {
			return nil, fmt.Errorf("%s: %w: it is part of what is being copied", path, disk.ErrLocked)
		}
	}
	if !o.force {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return disk.HostFiles{}.Open(path, disk.FileOptions{Write: true})
}

// names lists the image's files, itself last.
func (o *output) names() (names []string, err error) {
	list, err := os.ReadDir(filepath.Dir(o.path))
	if err != nil {
		return nil, err
	}
	own := filepath.Base(o.path)
	for _, e := range list {
		if e.Name() != own {
			names = append(names, e.Name())
		}
	}
	return append(names, own), nil
}

// check returns an error if one of the files that the image has so far cannot be moved to its place.
func (o *output) check() error {
	names, err := o.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.free(filepath.Join(filepath.Dir(o.final), name)); err != nil {
			return err
		}
	}
	return nil
}

// commit moves the files to their places, the image's own last.
func (o *output) commit() error {
	names, err := o.names()
	if err != nil {
		return err
	}
	for k, name := range names {
		if err := o.move(name); err != nil {
			if !o.force {
				for _, moved := range names[:k] { // nothing was there before
					err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(o.final), moved)))
				}
			}
			return err
		}
	}
	return disk.SyncFolder(filepath.Dir(o.final))
}

// move moves one file to its place.
func (o *output) move(name string) error {
	from, to := filepath.Join(filepath.Dir(o.path), name), filepath.Join(filepath.Dir(o.final), name)
	old, err := o.hold(to)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		return replaceFile(from, to)
	}
	return renameNew(from, to)
}

// explain tells an error by the names that the files would have had.
func (o *output) explain(err error) error {
	if err == nil {
		return nil
	}
	return &placed{err, filepath.Base(filepath.Dir(o.path)) + "/"}
}

// discard removes what was not moved, and the folder.
func (o *output) discard() {
	_ = os.RemoveAll(filepath.Dir(o.path))
	o.dir.Close()
}
