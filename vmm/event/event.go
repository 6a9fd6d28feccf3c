// Package event wraps eventfd(2), the doorbell between the kernel, KVM and the workers of devices: a guest's kick arrives on one
// (ioeventfd) and an interrupt leaves through one (irqfd).
package event

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Event is an eventfd. Signal and Wait may be called from any goroutine; at most one goroutine may Wait at a time.
type Event struct {
	fd   int
	file *os.File
	buf  [8]byte

	// What is done to raw, made once, so that nothing is allocated.
	raw  syscall.RawConn
	add  func(fd uintptr)      // adds one to the counter
	take func(fd uintptr) bool // reads the counter into buf, the outcome into errno; false when it is zero
	zero func(fd uintptr)      // reads the counter into count

	errno syscall.Errno

	mu    sync.Mutex
	count [8]byte // zeroes, or what Clear has just read
}

// New returns an event whose counter is zero.
func New() (*Event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event: create eventfd: %w", err)
	}
	// A non-blocking descriptor joins the runtime's epoll set, so Wait parks a goroutine and not a thread.
	e := &Event{fd: fd, file: os.NewFile(uintptr(fd), "eventfd")}
	if e.raw, err = e.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("event: %w", err), e.file.Close())
	}
	e.add = func(fd uintptr) { write8(fd, &one) }
	e.take = func(fd uintptr) bool {
		e.errno = read8(fd, &e.buf)
		return e.errno != unix.EAGAIN
	}
	e.zero = func(fd uintptr) { _, _ = unix.Read(int(fd), e.count[:]) }
	return e, nil
}

// FD returns the descriptor, for KVM. It stays owned by the Event.
func (e *Event) FD() int { return e.fd }

// one is the number 1 as write(2) takes it, in the host's order, which is little endian on x86.
var one = [8]byte{1}

// Signal adds one to the counter and wakes the waiter. It never blocks and never allocates.
func (e *Event) Signal() {
	// An error means that the counter is full, and the waiter will wake anyway, or that the event is closed.
	// Through the file, because after Close the bare number could already be another file's.
	_ = e.raw.Control(e.add)
}

// Wait sleeps until the counter is not zero, and zeroes it. After Close it returns os.ErrClosed.
func (e *Event) Wait() error {
	for {
		if e.raw.Read(e.take) != nil { // it has no error of its own but this one
			return os.ErrClosed
		}
		switch e.errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("event: wait: %w", e.errno)
		}
	}
}

// Clear zeroes the counter without waiting, and says whether it had been signalled. After Close it does nothing.
func (e *Event) Clear() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count = [8]byte{}
	// Not through Read, which would wait for a Wait in progress, nor by the bare number, which could be another file's after Close.
	_ = e.raw.Control(e.zero)
	return e.count != [8]byte{} // a counter that can be read is not zero
}

// Close releases the descriptor and wakes the waiter.
func (e *Event) Close() error { return e.file.Close() }
