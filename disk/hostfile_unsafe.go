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
	bytes int // in iov
	off   int64
	write bool
	file  *hostFile

	n     int
	errno unix.Errno
	run   func(fd uintptr)
}

var vectorPool = sync.Pool{New: func() any {
	v := &vectorIO{iov: make([]unix.Iovec, 0, 64)}
	v.run = v.do
	return v
}}

// maxPrompt bounds, in bytes, the transfers that the scheduler is not told of: it cannot stop the program meanwhile.
const maxPrompt = 1 << 20

// prompt makes the transfer where it is certain not to wait for a device: in memory, or from the page cache. It returns false where it is not. Such a
// call is made without a word to Go's scheduler, which would wake its monitor thread, and take the processor away from a call of 20 µs.
func (v *vectorIO) prompt(fd uintptr) bool {
	call, flags := uintptr(unix.SYS_PREADV2), uintptr(0)
	switch {
	case v.bytes > maxPrompt:
		return false
	case v.file.memory:
	case v.write || v.file.slow.Load():
		return false
	default:
		flags = unix.RWF_NOWAIT
	}
	if v.write {
		call = unix.SYS_PWRITEV2
	}
	n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&v.iov[0])), uintptr(len(v.iov)), uintptr(v.off), 0, flags)
	switch errno {
	case 0:
		v.n, v.errno = int(n), 0
		return true
	case unix.EAGAIN, unix.EINTR:
	default: // most likely one that says that there is no such call or flag; what else is wrong will show
		v.file.slow.Store(true)
	}
	return false
}

func (v *vectorIO) do(fd uintptr) {
	if v.prompt(fd) {
		return
	}
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
	v.iov, v.bytes = v.iov[:0], 0
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
		v.bytes += len(b)
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
		v.file = nil
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
		v.off, v.write, v.file = off+int64(total), write, h
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
