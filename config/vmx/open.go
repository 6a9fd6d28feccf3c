package vmx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open reads the .vmx file at path. Anything but a regular file is refused without waiting on it.
func Open(path string) (*File, error) {
	// O_NONBLOCK: opening a FIFO would otherwise wait for a writer.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening machine file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening machine file: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s: %w: it is a folder; name the .vmx file in it", path, ErrNotVMX)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is not a regular file", path, ErrNotVMX)
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading machine file: %w", err)
	}
	if size := max(info.Size(), int64(len(data))); size > MaxFileSize {
		return nil, fmt.Errorf("%s: %w (%d bytes, at most %d)", path, ErrTooLarge, size, MaxFileSize)
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	f.mode = info.Mode().Perm()
	return f, nil
}

// Save writes the file to path so that a crash leaves either the old or the new contents: to a temporary file beside it,
// synced, renamed over it. An existing file keeps its permissions; a symbolic link keeps pointing where it did. The name
// of f becomes path.
func (f *File) Save(path string) error {
	target := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		target = real
	}
	mode := f.mode
	if info, err := os.Stat(target); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("saving %s: it is not a regular file", path)
		}
		mode = info.Mode().Perm()
	}
	if mode == 0 {
		mode = 0o644
	}
	if err := replace(target, f.String(), mode); err != nil {
		return fmt.Errorf("saving %s: %w", path, err)
	}
	f.name, f.mode = path, mode
	return nil
}

func replace(target, text string, mode os.FileMode) (err error) {
	dir := filepath.Dir(target)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if _, err = temp.WriteString(text); err != nil {
		return err
	}
	if err = temp.Chmod(mode); err != nil {
		return err
	}
	if err = temp.Sync(); err != nil {
		return err
	}
	if err = temp.Close(); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), target); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes a rename in dir durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
