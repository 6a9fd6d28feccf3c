package disktest

import (
	"io/fs"
	"path/filepath"
)

// Rename moves a file, in one step. Unless replace is set, to must not exist.
func (r *Recorder) Rename(from, to string, replace bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.files[from]
	if m == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if r.files[to] != nil && !replace {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	delete(r.files, from)
	r.files[to] = m
	r.log = append(r.log, event{file: m, made: to, removed: from})
	return nil
}

// List names the files of a folder.
func (r *Recorder) List(folder string) (names []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path := range r.files {
		if filepath.Dir(path) == filepath.Clean(folder) {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}
