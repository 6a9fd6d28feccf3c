package queue

import (
	"encoding/binary"

	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Flags of a descriptor.
const (
	descNext     = 1 // VIRTQ_DESC_F_NEXT
	descWrite    = 2 // VIRTQ_DESC_F_WRITE
	descIndirect = 4 // VIRTQ_DESC_F_INDIRECT
)

// Pop fills c with the next chain and says whether there was one. An error means that the guest has broken the rings: the device
// reports it (virtio.Activation.Fail) and stops touching the queue. Pop does not allocate once c has held its longest chain.
func (q *Queue) Pop(c *Chain) (bool, error) {
	if q.nextAvail == q.seenAvail {
		ready, err := q.look()
		if !ready || err != nil {
			return false, err
		}
	}
	at := ringElem + 2*int(q.nextAvail&(q.size-1))
	head := binary.LittleEndian.Uint16(q.avail[at:])
	if err := q.walk(c, head); err != nil {
		return false, err
	}
	q.nextAvail++
	return true, nil
}

// Unpop gives the last n popped chains back: Pop will return them again. None of them may have been pushed.
func (q *Queue) Unpop(n int) { q.nextAvail -= uint16(n) }

// look reads the driver's index and says whether it has moved past what was popped.
func (q *Queue) look() (bool, error) {
	if e := q.broken.Load(); e != nil {
		return false, e
	}
	idx := shared.Load16(q.avail, ringIdx)
	if idx-q.nextAvail > q.size {
		return false, q.fail(0, "available index jumped from %d to %d, over a queue of %d", q.nextAvail, idx, q.size)
	}
	q.seenAvail = idx
	return idx != q.nextAvail, nil
}

// walk collects the buffers of the chain that starts at head. It ends: a table is left only for an indirect one, which can't be
// left again, and no table gives more descriptors than it has entries.
func (q *Queue) walk(c *Chain, head uint16) error {
	c.Head = head
	c.ReadLen, c.WriteLen = 0, 0
	c.buffers = c.buffers[:0]
	table, readable, indirect := q.desc, 0, false
	left := len(table) / descSize
	for i := head; ; {
		if int(i) >= len(table)/descSize {
			return q.fail(head, "descriptor %d in a table of %d", i, len(table)/descSize)
		}
		if left--; left < 0 || len(c.buffers) == MaxSegments {
			return q.fail(head, "a loop, or more than %d descriptors", min(len(table)/descSize, MaxSegments))
		}
		d := loadDescriptor(table, i)
		if d.flags&descIndirect != 0 {
			switch {
			case !q.indirect:
				return q.fail(head, "indirect descriptor, which was not negotiated")
			case indirect:
				return q.fail(head, "indirect descriptor in an indirect table")
			case d.flags&descNext != 0:
				return q.fail(head, "indirect descriptor with a next one")
			case d.len == 0 || d.len%descSize != 0 || d.len/descSize > MaxSize:
				return q.fail(head, "indirect table of %d bytes", d.len)
			}
			t, err := q.mem.Slice(d.addr, uint64(d.len))
			if err != nil {
				return q.fail(head, "indirect table: %v", err)
			}
			table, left, indirect, i = t, len(t)/descSize, true, 0
			continue
		}
		if d.len == 0 {
			return q.fail(head, "descriptor %d has no length", i)
		}
		buf, err := q.mem.Slice(d.addr, uint64(d.len))
		if err != nil {
			return q.fail(head, "descriptor %d: %v", i, err)
		}
		if d.flags&descWrite != 0 {
			c.WriteLen += uint64(d.len)
		} else {
			if readable < len(c.buffers) {
				return q.fail(head, "descriptor %d is device-readable after a device-writable one", i)
			}
			readable++
			c.ReadLen += uint64(d.len)
		}
		if c.ReadLen+c.WriteLen > 1<<32 {
			return q.fail(head, "more than 4 GiB")
		}
		c.buffers = append(c.buffers, buf)
		if d.flags&descNext == 0 {
			break
		}
		i = d.next
	}
	c.Readable, c.Writable = c.buffers[:readable:readable], c.buffers[readable:]
	return nil
}

type descriptor struct {
	addr        uint64
	len         uint32
	flags, next uint16
}

// loadDescriptor copies descriptor i out of a table that the guest may be rewriting.
func loadDescriptor(table []byte, i uint16) descriptor {
	p := table[int(i)*descSize:][:descSize]
	var lo, hi uint64
	if shared.Aligned(p, 8) {
		lo, hi = shared.Load64(p, 0), shared.Load64(p, 8)
	} else { // only an indirect table may lie anywhere
		var b [descSize]byte
		copy(b[:], p)
		lo, hi = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	return descriptor{addr: lo, len: uint32(hi), flags: uint16(hi >> 32), next: uint16(hi >> 48)}
}
