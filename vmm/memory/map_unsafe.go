package memory

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmapAligned maps size bytes at a host address that is a multiple of 2 MiB, so that host and guest huge pages coincide.
func mmapAligned(fd int, off int64, size uint64, flags int) ([]byte, error) {
	// Reserve more than is needed, then map over the aligned part and give back the rest.
	span := size + hugePage
	base, err := unix.MmapPtr(-1, 0, nil, uintptr(span), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	head := (hugePage - uintptr(base)%hugePage) % hugePage
	start := unsafe.Add(base, head)
	p, err := unix.MmapPtr(fd, off, start, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	if err != nil {
		_ = unix.MunmapPtr(base, uintptr(span))
		return nil, err
	}
	if head > 0 {
		_ = unix.MunmapPtr(base, head)
	}
	if tail := uintptr(span) - head - uintptr(size); tail > 0 {
		_ = unix.MunmapPtr(unsafe.Add(start, size), tail)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// remap puts fresh anonymous pages in the place of p.
func remap(p []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(p)), uintptr(len(p)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return err
}

func munmap(b []byte) error { return unix.MunmapPtr(unsafe.Pointer(&b[0]), uintptr(len(b))) }

// address is where p lies in this process.
func address(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }
