package event

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Raiser is an eventfd that nobody in this process waits for: KVM takes what it counts. It stays out of the runtime's epoll set, which an Event joins by two more system calls: a machine
// has dozens of them, and is restored in less than a millisecond. Its methods may be called from any goroutine.
type Raiser struct {
	mu sync.RWMutex
	fd int // -1 once it is closed
}

// NewRaiser returns one whose counter is zero.
func NewRaiser() (*Raiser, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event: create eventfd: %w", err)
	}
	return &Raiser{fd: fd}, nil
}

// FD returns the descriptor, for KVM. It stays owned by the Raiser.
func (r *Raiser) FD() int { return r.fd }

// Signal adds one to the counter. It never blocks and never allocates. After Close it does nothing.
func (r *Raiser) Signal() {
	r.mu.RLock() // else the number could already be another file's
	defer r.mu.RUnlock()
	if r.fd >= 0 {
		write8(uintptr(r.fd), &one) // an error means that the counter is full
	}
}

// Clear zeroes the counter, and says whether it was signalled. After Close it does nothing.
func (r *Raiser) Clear() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var count [8]byte
	if r.fd >= 0 {
		_, _ = unix.Read(r.fd, count[:]) // which fails where it is zero
	}
	return count != [8]byte{}
}

// Close releases the descriptor.
func (r *Raiser) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fd := r.fd
	if r.fd = -1; fd < 0 {
		return nil
	}
	return unix.Close(fd)
}
