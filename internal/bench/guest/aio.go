package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of an iocb (linux/aio_abi.h).
const (
	aioRead  = 0 // IOCB_CMD_PREAD
	aioWrite = 1 // IOCB_CMD_PWRITE
)

// iocb is struct iocb.
type iocb struct {
	data   uint64 // comes back in the event
	_      uint32 // key
	_      int32  // flags of preadv2
	opcode uint16
	_      int16 // priority
	fd     uint32
	buf    uintptr // of mapped memory, which does not move
	bytes  uint64
	offset int64
	_      uint64
	_      uint32 // flags
	_      uint32 // eventfd
}

// ioEvent is struct io_event.
type ioEvent struct {
	data uint64
	_    uint64 // the iocb
	res  int64  // bytes, or an errno below zero
	_    int64
}

// aio is a context of the kernel's native asynchronous I/O.
type aio struct {
	context uintptr
	slots   []iocb
	queued  []*iocb
	events  []ioEvent
}

func newAIO(depth int) (*aio, error) {
	a := &aio{slots: make([]iocb, depth), queued: make([]*iocb, 0, depth), events: make([]ioEvent, depth)}
	if _, _, errno := unix.RawSyscall(unix.SYS_IO_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil, fmt.Errorf("io_setup: %w", errno)
	}
	return a, nil
}

func (a *aio) close() { _, _, _ = unix.RawSyscall(unix.SYS_IO_DESTROY, a.context, 0, 0) }

// prepare queues a transfer between p and off in slot i, which must be free.
func (a *aio) prepare(i, fd int, p []byte, off int64, write bool) {
	c := &a.slots[i]
	*c = iocb{data: uint64(i), opcode: aioRead, fd: uint32(fd), buf: uintptr(unsafe.Pointer(&p[0])), bytes: uint64(len(p)), offset: off}
	if write {
		c.opcode = aioWrite
	}
	a.queued = append(a.queued, c)
}

// submit starts what is queued and returns how many that were.
func (a *aio) submit() (int, error) {
	total := 0
	for len(a.queued) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, a.context, uintptr(len(a.queued)), uintptr(unsafe.Pointer(&a.queued[0])))
		if errno != 0 {
			return total, fmt.Errorf("io_submit: %w", errno)
		}
		total += int(n)
		a.queued = a.queued[:copy(a.queued, a.queued[n:])]
	}
	return total, nil
}

// wait returns what has finished, at least one transfer. It is an error if one did not move size bytes.
func (a *aio) wait(size int) ([]ioEvent, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, a.context, 1, uintptr(len(a.events)), uintptr(unsafe.Pointer(&a.events[0])), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, fmt.Errorf("io_getevents: %w", errno)
		}
		for _, e := range a.events[:n] {
			if e.res != int64(size) {
				return nil, fmt.Errorf("an access of %d bytes ended with %d", size, e.res)
			}
		}
		return a.events[:n], nil
	}
}

// transfer reads or writes p at off and waits for it.
func transfer(fd int, p []byte, off int64, write bool) error {
	call := uintptr(unix.SYS_PREAD64)
	if write {
		call = unix.SYS_PWRITE64
	}
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(off), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		if int(n) != len(p) {
			return fmt.Errorf("moved %d of %d bytes", n, len(p))
		}
		return nil
	}
}
