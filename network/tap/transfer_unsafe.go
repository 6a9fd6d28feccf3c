package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/network"
)

// maxVectors is the kernel's limit, UIO_MAXIOV.
const maxVectors = 1024

// transfer is one readv or writev after the other, without an allocation for any of them.
type transfer struct {
	number  uintptr // of the system call
	vectors []unix.Iovec
	header  [network.HeaderLen]byte // the checked copy of a guest's header
	n       int
	err     error
	try     func(fd uintptr) bool // bound once
}

func (t *transfer) init(number uintptr) {
	t.number = number
	t.try = t.attempt
}

// fill lists bufs without their first skip bytes, first in front and last behind. It returns false when they are more than
// one call takes.
func (t *transfer) fill(bufs [][]byte, skip int, first, last []byte) bool {
	t.vectors = t.vectors[:0]
	t.add(first)
	for _, b := range bufs {
		c := min(skip, len(b))
		skip -= c
		t.add(b[c:])
	}
	t.add(last)
	return len(t.vectors) <= maxVectors
}

func (t *transfer) add(b []byte) {
	if len(b) > 0 {
		v := unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		t.vectors = append(t.vectors, v)
	}
}

// run makes the call through the runtime's poller: do is the Read or the Write of the file's RawConn.
func (t *transfer) run(do func(func(uintptr) bool) error) (int, error) {
	if err := do(t.try); err != nil {
		return 0, err
	}
	clear(t.vectors) // no pointer into the guest's memory stays behind
	return t.n, t.err
}

// attempt makes the call; false has the poller wait. The descriptor never blocks, so Go's scheduler is not told: it would take the
// processor away from a call of more than 20 µs, which one for a large segment can be, and so change threads for each frame.
func (t *transfer) attempt(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(t.number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.vectors))), uintptr(len(t.vectors)))
		switch errno {
		case 0:
			t.n, t.err = int(n), nil
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.n, t.err = 0, errno
			return true
		}
	}
}
