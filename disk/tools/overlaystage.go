package tools

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// stage is where a new image above a parent is made: its files believe that they are in their places, since they name each other and
// the parent by where they are, and have hidden names until publish. What a killed program left under such a name is replaced by the
// next that wants it.
type stage struct {
	folders
	made []string // the files' own paths, in the order in which they were made
}

// hidden is the name that a file has on the stage.
func hidden(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
}

// Open implements [disk.Files].
func (s *stage) Open(path string, o disk.FileOptions) (disk.File, error) {
	at := o.Place(path)
	if !o.Create {
		if !slices.Contains(s.made, at) {
			return s.folders.Open(path, o)
		}
		f, err := s.folders.Open(hidden(path), o)
		return staged{f, at}, err
	}
	f, err := s.folders.Open(hidden(path), o)
	if errors.Is(err, fs.ErrExist) {
		if err := s.clear(hidden(path)); err != nil {
			return nil, err
		}
		f, err = s.folders.Open(hidden(path), o)
	}
	if err == nil {
		s.made = append(s.made, at)
	}
	return staged{f, at}, err
}

// staged is a file that goes by its own path.
type staged struct {
	disk.File
	name string
}

func (s staged) Name() string { return s.name }

// clear removes what an earlier program left, unless it still runs.
func (s *stage) clear(path string) error {
	left, err := s.folders.Open(path, disk.FileOptions{Write: true})
	if err != nil {
		return err
	}
	defer left.Close()
	return s.folders.Remove(path)
}

// Remove implements [disk.Files].
func (s *stage) Remove(path string) error {
	k := slices.Index(s.made, path)
	if k < 0 {
		return s.folders.Remove(path)
	}
	s.made = slices.Delete(s.made, k, k+1)
	return s.folders.Remove(hidden(path))
}

// free returns an error if a file that was made cannot have its place.
func (s *stage) free() error {
	for _, path := range s.made {
		f, err := s.folders.Open(path, disk.FileOptions{Shared: true})
		if err == nil {
			f.Close()
			err = &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// publish moves the files to their places, the last one made, which names the others, last.
func (s *stage) publish(replace bool) error {
	for k, path := range s.made {
		err := s.folders.Rename(hidden(path), path, replace)
		if err == nil {
			continue
		}
		if !replace {
			for _, moved := range s.made[:k] { // nothing was there before
				err = errors.Join(err, s.folders.Remove(moved))
			}
		}
		s.made = s.made[k:]
		return err
	}
	s.made = nil
	return nil
}

// discard removes what was not published.
func (s *stage) discard() {
	for _, path := range s.made {
		_ = s.folders.Remove(hidden(path))
	}
	s.made = nil
}
