package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TempFile opens a file without a name in dir, which vanishes when it is closed, however the program ends. An empty dir means $TMPDIR or
// /var/tmp.
func TempFile(dir string) (File, error) {
	if dir == "" {
		if dir = os.Getenv("TMPDIR"); dir == "" {
			dir = "/var/tmp"
		}
	}
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EISDIR) { // a file system without O_TMPFILE
		f, err = namedTemp(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("temporary file in %s: %w", dir, err)
	}
	h, err := newHostFile(f, f.Name(), FileOptions{Write: true, Shared: true})
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

// namedTemp makes a file and takes its name away.
func namedTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "vmm-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
