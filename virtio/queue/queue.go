package queue

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// MaxSize is the largest queue that virtio allows, in descriptors.
const MaxSize = 32768

// Sizes and positions in bytes (virtio 1.2, section 2.7).
const (
	descSize = 16 // struct virtq_desc
	usedSize = 8  // struct virtq_used_elem
	ringIdx  = 2  // idx in struct virtq_avail and virtq_used
	ringElem = 4  // ring[] in both
)

// Flags of a ring.
const (
	availNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 // VIRTQ_USED_F_NO_NOTIFY
)

// Config is what the driver set up, and what the queue is wired to.
type Config struct {
	Index  int           // which of the device's queues it is
	Memory *memory.Guest // where the rings and buffers lie

	Size              uint16 // descriptors, a power of two
	Desc, Avail, Used uint64 // guest-physical addresses of the descriptor table, driver area and device area

	EventIdx bool // VIRTIO_F_EVENT_IDX was negotiated
	Indirect bool // VIRTIO_F_INDIRECT_DESC was negotiated

	Kick      *event.Event // signalled when the driver notifies this queue
	Interrupt func()       // interrupts the driver on behalf of this queue; must not block
}

// Queue is the device's end of one virtqueue. See the package comment for who may call what at the same time.
type Queue struct {
	// Index is the queue's number in its device.
	Index int
	// Kick is signalled when the driver has made chains available, unless notifications are disabled.
	Kick *event.Event

	mem               *memory.Guest
	size              uint16
	eventIdx          bool
	indirect          bool
	interrupt         func()
	desc, avail, used []byte

	broken atomic.Pointer[Error]

	// The available side.
	nextAvail uint16 // the next entry to pop
	seenAvail uint16 // the driver's index when last looked at

	_ [64]byte // the two sides may run on different processors

	// The used side.
	nextUsed     uint16 // where the next element goes
	published    uint16 // what the used index says
	signalled    uint16 // the index at the last interrupt decision
	anySignalled bool   // signalled means something
}

// New returns a queue over rings that it checks once: a power of two of descriptors, each part aligned as virtio 1.2, section
// 2.7 demands and wholly in RAM. Such an error means that the device needs a reset.
func New(c Config) (*Queue, error) {
	if c.Size == 0 || c.Size&(c.Size-1) != 0 || c.Size > MaxSize {
		return nil, fmt.Errorf("virtqueue %d: size %d is not a power of two up to %d", c.Index, c.Size, MaxSize)
	}
	q := &Queue{
		Index: c.Index, Kick: c.Kick,
		mem: c.Memory, size: c.Size, eventIdx: c.EventIdx, indirect: c.Indirect, interrupt: c.Interrupt,
	}
	n := uint64(c.Size)
	for _, part := range []struct {
		name        string
		gpa         uint64
		size, align uint64
		to          *[]byte
	}{
		{"descriptor table", c.Desc, descSize * n, 16, &q.desc},
		{"available ring", c.Avail, ringElem + 2*n + 2, 2, &q.avail},
		{"used ring", c.Used, ringElem + usedSize*n + 2, 4, &q.used},
	} {
		s, err := c.Memory.Slice(part.gpa, part.size)
		if err != nil {
			return nil, fmt.Errorf("virtqueue %d: %s: %w", c.Index, part.name, err)
		}
		if part.gpa%part.align != 0 || !shared.Aligned(s, uintptr(part.align)) {
			return nil, fmt.Errorf("virtqueue %d: %s at %#x is not aligned to %d", c.Index, part.name, part.gpa, part.align)
		}
		*part.to = s
	}
	return q, nil
}

// Size is the number of descriptors.
func (q *Queue) Size() uint16 { return q.size }

// Err returns the error that broke the queue, or nil.
func (q *Queue) Err() error {
	if e := q.broken.Load(); e != nil {
		return e
	}
	return nil
}

// Error says what is wrong with a guest's rings. The queue that met it hands out nothing any more until the driver resets the device.
type Error struct {
	Queue  int    // the queue's number in its device
	Head   uint16 // head of the chain, where it is one that is wrong
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("virtqueue %d: chain %d: %s", e.Queue, e.Head, e.Reason)
}

func (q *Queue) fail(head uint16, format string, args ...any) error {
	e := &Error{q.Index, head, fmt.Sprintf(format, args...)}
	if q.broken.CompareAndSwap(nil, e) {
		return e
	}
	return q.broken.Load()
}
