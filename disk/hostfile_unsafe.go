package disk

import (
	"io"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVectors is the kernel's limit of buffers in one preadv or pwritev (UIO_MAXIOV).
const maxVectors = 1024

// vectorIO is one preadv or pwritev in the making. It is pooled, and its function is bound once, so that a transfer allocates nothing.
type vectorIO struct {
	iov   []unix.Iovec
	off   int64
	write bool

	n     int
	errno unix.Errno
	run   func(fd uintptr)
}

var vectorPool = sync.Pool{New: func() any {
	v := &vectorIO{iov: make([]unix.Iovec, 0, 64)}
	v.run = v.do
	return v
}}

func (v *vectorIO) do(fd uintptr) {
	call := uintptr(unix.SYS_PREADV)
	if v.write {
		call = unix.SYS_PWRITEV
	}
	for {
		// The kernel takes the offset as two longs; on 64-bit machines the first holds all of it.
		n, _, errno := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&v.iov[0])), uintptr(len(v.iov)), uintptr(v.off), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		v.n, v.errno = int(n), errno
		return
	}
}

// load takes as many of bufs, from byte skip of the first on, as one call can transfer.
func (v *vectorIO) load(bufs [][]byte, skip int) {
	v.iov = v.iov[:0]
	for _, b := range bufs {
		b = b[skip:]
		skip = 0
		if len(b) == 0 {
			continue
		}
		if len(v.iov) == maxVectors {
			return
		}
		v.iov = append(v.iov, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
	}
}

func (h *hostFile) ReadvAt(bufs [][]byte, off int64) (int, error) {
	return h.transfer(bufs, off, false)
}

func (h *hostFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	return h.transfer(bufs, off, true)
}

func (h *hostFile) transfer(bufs [][]byte, off int64, write bool) (int, error) {
	v := vectorPool.Get().(*vectorIO)
	defer func() {
		clear(v.iov) // keep no pointers to the caller's buffers
		vectorPool.Put(v)
	}()
	total, skip := 0, 0
	for {
		for len(bufs) > 0 && skip >= len(bufs[0]) {
			skip -= len(bufs[0])
			bufs = bufs[1:]
		}
		if len(bufs) == 0 {
			return total, nil
		}
		v.load(bufs, skip)
		v.off, v.write = off+int64(total), write
		if err := h.raw.Control(v.run); err != nil {
			return total, err
		}
		switch {
		case v.errno != 0 && write:
			return total, wrap(v.errno, "write", h)
		case v.errno != 0:
			return total, wrap(v.errno, "read", h)
		case v.n == 0 && write:
			return total, io.ErrShortWrite
		case v.n == 0:
			return total, io.EOF
		}
		total += v.n
		skip += v.n
	}
}
