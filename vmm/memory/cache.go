package memory

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Uncache has the kernel forget what it has read of a file, as far as nobody has mapped it, and all of it is on the disk. A file in memory (tmpfs) stays.
func Uncache(f *os.File) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("take %s out of the page cache: %w", f.Name(), err)
	}
	return nil
}

// Recache has the page cache hold again what a file holds, but for its holes. Of a file that another host shares with this one (9p) nothing is read: that one's cache has it.
func Recache(ctx context.Context, f *os.File) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return fmt.Errorf("read %s into the page cache: %w", f.Name(), err)
	}
	if fs.Type == unix.V9FS_MAGIC {
		return nil
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) // to read ahead would fill the cache with holes
	buf := make([]byte, 1<<20)
	for at, end := int64(0), int64(0); ctx.Err() == nil; {
		if at == end {
			var err error
			if at, err = unix.Seek(int(f.Fd()), end, unix.SEEK_DATA); err == unix.ENXIO {
				return nil
			}
			if err == nil {
				end, err = unix.Seek(int(f.Fd()), at, unix.SEEK_HOLE)
			}
			if err != nil {
				return fmt.Errorf("read %s into the page cache: look for its data: %w", f.Name(), err)
			}
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil {
			return fmt.Errorf("read %s into the page cache: %w", f.Name(), err)
		}
		at += int64(n)
	}
	return ctx.Err()
}
