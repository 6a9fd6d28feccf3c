package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// replaceFile moves a new file to a place where there is one, and gives it that one's owner, group and permissions: whoever could use the image still
// can, and nobody else.
func replaceFile(from, to string) error {
	var old unix.Stat_t
	if err := unix.Stat(to, &old); err != nil {
		return &fs.PathError{Op: "stat", Path: to, Err: err}
	}
	mode := fs.FileMode(old.Mode & 0o777)
	if err := os.Lchown(from, -1, int(old.Gid)); err != nil {
		if !errors.Is(err, fs.ErrPermission) {
			return err
		}
		mode &^= 0o070 // they were another group's
	}
	if err := os.Lchown(from, int(old.Uid), -1); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err // without the right to give files away it is the caller's now
	}
	if err := os.Chmod(from, mode); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// noLink refuses a symbolic link in the place of an image that is to be replaced.
func noLink(path string) error {
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%s: it is a symbolic link; name the file that it leads to", path)
	}
	return nil
}
