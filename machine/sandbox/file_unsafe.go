package sandbox

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pathPointer is where a path lies in memory that is not Go's: the filter knows the address.
type pathPointer = unsafe.Pointer

// openFlags are those of a File.
const openFlags = unix.O_RDONLY | unix.O_CLOEXEC

// pin puts the paths of files into a page of their own.
func pin(files []*File) error {
	var all []byte
	offsets := make([]int, len(files))
	for i, f := range files {
		offsets[i] = len(all)
		all = append(append(all, f.path...), 0)
	}
	if len(all) == 0 {
		return nil
	}
	page, err := unix.Mmap(-1, 0, len(all), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("memory for paths: %w", err)
	}
	copy(page, all)
	if err := unix.Mprotect(page, unix.PROT_READ); err != nil {
		return fmt.Errorf("memory for paths: %w", err)
	}
	for i, f := range files {
		f.where = unsafe.Pointer(&page[offsets[i]])
	}
	return nil
}

func (f *File) openPinned() (*os.File, error) {
	for {
		at := unix.AT_FDCWD
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(f.where), openFlags, 0, 0, 0)
		switch errno {
		case 0:
			return os.NewFile(fd, f.path), nil
		case unix.EINTR:
			continue
		}
		return nil, &os.PathError{Op: "open", Path: f.path, Err: errno}
	}
}

// address is how the filter sees the file's path.
func (f *File) address() uint64 { return uint64(uintptr(f.where)) }
