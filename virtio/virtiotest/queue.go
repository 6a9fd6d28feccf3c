package virtiotest

import (
	"encoding/binary"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Flags of a descriptor.
const (
	FlagNext     = 1
	FlagWrite    = 2
	FlagIndirect = 4
)

// Queue is the driver's end of a virtqueue. It is for one goroutine.
type Queue struct {
	Index             int
	Size              int
	Desc, Avail, Used uint64 // addresses of the rings
	// Indirect makes Add put each chain into a table of its own, where that was negotiated.
	Indirect bool

	d                 *Driver
	desc, avail, used []byte
	free              []uint16
	pending           map[uint16]*Request
	availIdx, usedIdx uint16
	kicked            uint16 // availIdx at the last kick decision
}

// Buffer is one buffer of a chain, in guest RAM.
type Buffer struct {
	Addr     uint64
	Len      int
	Writable bool
}

// Request is a chain that was made available.
type Request struct {
	Head    uint16
	Buffers []Buffer
	Done    bool
	Written int // what the device says it wrote

	q      *Queue
	descs  []uint16
	table  uint64 // of an indirect chain
	copied []byte
}

// SetupQueue allocates and enables queue i with size descriptors, 0 for the device's largest.
func (d *Driver) SetupQueue(i, size int) *Queue {
	d.T.Helper()
	d.SetCommon(0x16, 2, uint64(i))
	largest := int(d.Common(0x18, 2))
	if largest == 0 {
		d.T.Fatalf("the device has no queue %d", i)
	}
	if size == 0 {
		size = largest
	}
	q := &Queue{Index: i, Size: size, d: d, pending: map[uint16]*Request{}}
	q.Desc, q.Avail, q.Used = d.Alloc(16*size), d.Alloc(6+2*size), d.Alloc(6+8*size)
	q.desc, q.avail, q.used = d.RAM(q.Desc, 16*size), d.RAM(q.Avail, 6+2*size), d.RAM(q.Used, 6+8*size)
	clear(q.desc)
	clear(q.avail)
	clear(q.used)
	for n := range size {
		q.free = append(q.free, uint16(size-1-n))
	}
	d.SetCommon(0x18, 2, uint64(size))
	d.SetCommon(0x1a, 2, uint64(i+1))
	d.SetCommon(0x20, 8, q.Desc)
	d.SetCommon(0x28, 8, q.Avail)
	d.SetCommon(0x30, 8, q.Used)
	d.SetCommon(0x1c, 2, 1)
	d.Queues[i] = q
	return q
}

// SetDescriptor writes a descriptor as it is given, sound or not.
func (q *Queue) SetDescriptor(i uint16, addr uint64, length uint32, flags, next uint16) {
	PutDescriptor(q.desc[16*int(i):], addr, length, flags, next)
}

// PutDescriptor writes a descriptor to the first 16 bytes of p.
func PutDescriptor(p []byte, addr uint64, length uint32, flags, next uint16) {
	le := binary.LittleEndian
	le.PutUint64(p, addr)
	le.PutUint64(p[8:], uint64(length)|uint64(flags)<<32|uint64(next)<<48)
}

// Offer makes a chain available whose descriptors the caller wrote, without a kick.
func (q *Queue) Offer(head uint16) {
	binary.LittleEndian.PutUint16(q.avail[4+2*(int(q.availIdx)%q.Size):], head)
	q.availIdx++
	shared.Store16(q.avail, 2, q.availIdx)
}

// SetAvailIndex publishes any available index.
func (q *Queue) SetAvailIndex(v uint16) {
	q.availIdx = v
	shared.Store16(q.avail, 2, v)
}

// Kick notifies the device as a driver does: only where it asked to be.
func (q *Queue) Kick() {
	old := q.kicked
	q.kicked = q.availIdx
	if q.d.Features&virtio.FeatureEventIdx != 0 {
		event := shared.Load16(q.used, 4+8*q.Size)
		if q.availIdx-event-1 >= q.availIdx-old {
			return
		}
	} else if shared.Load16(q.used, 0)&1 != 0 {
		return
	}
	q.Notify()
}

// Notify rings the doorbell whether the device asked for it or not.
func (q *Queue) Notify() {
	q.d.SetCommon(0x16, 2, uint64(q.Index))
	q.d.Ring(4*q.d.Common(0x1e, 2), 2, uint64(q.Index))
}

// Add makes a chain available without a kick: out, each a device-readable buffer that holds a copy, and then writable buffers of
// the given lengths. Nil when no descriptors are free.
func (q *Queue) Add(out [][]byte, in ...int) *Request {
	q.d.T.Helper()
	r := &Request{q: q}
	for _, p := range out {
		at := q.d.Alloc(len(p))
		copy(q.d.RAM(at, len(p)), p)
		r.Buffers = append(r.Buffers, Buffer{at, len(p), false})
	}
	for _, n := range in {
		at := q.d.Alloc(n)
		clear(q.d.RAM(at, n))
		r.Buffers = append(r.Buffers, Buffer{at, n, true})
	}
	indirect := q.Indirect && q.d.Features&virtio.FeatureIndirectDesc != 0
	need := len(r.Buffers)
	if indirect {
		need = 1
	}
	if need == 0 || need > len(q.free) {
		r.release()
		return nil
	}
	r.descs = append(r.descs, q.free[len(q.free)-need:]...)
	q.free = q.free[:len(q.free)-need]
	r.Head = r.descs[0]
	if indirect {
		r.table = q.d.Alloc(16 * len(r.Buffers))
		table := q.d.RAM(r.table, 16*len(r.Buffers))
		for i, b := range r.Buffers {
			PutDescriptor(table[16*i:], b.Addr, uint32(b.Len), b.flags(i+1 < len(r.Buffers)), uint16(i+1))
		}
		q.SetDescriptor(r.Head, r.table, uint32(len(table)), FlagIndirect, 0)
	} else {
		for i, b := range r.Buffers {
			var next uint16
			if i+1 < len(r.Buffers) {
				next = r.descs[i+1]
			}
			q.SetDescriptor(r.descs[i], b.Addr, uint32(b.Len), b.flags(i+1 < len(r.Buffers)), next)
		}
	}
	q.pending[r.Head] = r
	q.Offer(r.Head)
	return r
}

func (b Buffer) flags(next bool) (f uint16) {
	if b.Writable {
		f |= FlagWrite
	}
	if next {
		f |= FlagNext
	}
	return f
}

// Submit is Add and Kick. It fails the test when no descriptors are free.
func (q *Queue) Submit(out [][]byte, in ...int) *Request {
	q.d.T.Helper()
	r := q.Add(out, in...)
	if r == nil {
		q.d.T.Fatalf("queue %d has no room for %d buffers", q.Index, len(out)+len(in))
	}
	q.Kick()
	return r
}

// Poll takes the next used element, if there is one.
func (q *Queue) Poll() *Request {
	q.d.T.Helper()
	if q.usedIdx == shared.Load16(q.used, 2) {
		return nil
	}
	at := 4 + 8*(int(q.usedIdx)%q.Size)
	id, written := binary.LittleEndian.Uint32(q.used[at:]), binary.LittleEndian.Uint32(q.used[at+4:])
	q.usedIdx++
	r := q.pending[uint16(id)]
	if r == nil || id > 0xffff {
		q.d.T.Fatalf("queue %d: the device used chain %d, which it does not have", q.Index, id)
	}
	r.complete(int(written))
	return r
}

// Next waits for the next used element, in whatever order the device returns them.
func (q *Queue) Next() *Request {
	q.d.T.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	config := q.d.Interrupts.channel(ConfigVector)
	for {
		if r := q.Poll(); r != nil {
			return r
		}
		if q.d.Features&virtio.FeatureEventIdx != 0 {
			q.AskInterrupt()
			if r := q.Poll(); r != nil {
				return r
			}
		}
		select {
		case <-q.d.Interrupts.Channel(uint32(q.Index + 1)):
		case <-config:
			if q.d.NeedsReset() {
				q.d.T.Fatalf("queue %d: the device needs a reset", q.Index)
			}
			defer func() { // it was for AwaitConfigChange
				select {
				case config <- struct{}{}:
				default:
				}
			}()
			config = nil
		case <-timeout.C:
			q.d.T.Fatalf("queue %d: no answer: status %#x, available %d, used %d", q.Index, q.d.Status(), q.availIdx, q.usedIdx)
		}
	}
}

// AskInterrupt asks for an interrupt with the next used element, where EVENT_IDX was negotiated; without, it comes anyway.
func (q *Queue) AskInterrupt() {
	shared.Store16(q.avail, 4+2*q.Size, q.usedIdx) // with a full barrier behind it
}

// Skip takes a used element of a chain that was not made by Add.
func (q *Queue) Skip() { q.usedIdx++ }

// Outstanding is the number of chains that the device has.
func (q *Queue) Outstanding() int { return len(q.pending) }

// Wait returns when the device has used the chain, with the bytes that it says it wrote. Other chains that come first are completed too.
func (r *Request) Wait() []byte {
	r.q.d.T.Helper()
	for !r.Done {
		r.q.Next()
	}
	return r.Data()
}

// Data is a copy of the writable buffers of a completed chain, as far as the device wrote.
func (r *Request) Data() []byte { return r.copied[:min(r.Written, len(r.copied))] }

// Writable is a copy of all bytes of a completed chain's writable buffers.
func (r *Request) Writable() []byte { return r.copied }

// complete copies the results and frees the chain's RAM.
func (r *Request) complete(written int) {
	r.Done, r.Written = true, written
	for _, b := range r.Buffers {
		if b.Writable {
			r.copied = append(r.copied, r.q.d.RAM(b.Addr, b.Len)...)
		}
	}
	if written > len(r.copied) {
		r.q.d.T.Errorf("queue %d: the device wrote %d bytes of %d", r.q.Index, written, len(r.copied))
	}
	delete(r.q.pending, r.Head)
	r.q.free = append(r.q.free, r.descs...)
	r.release()
}

func (r *Request) release() {
	for _, b := range r.Buffers {
		r.q.d.Free(b.Addr, b.Len)
	}
	if r.table != 0 {
		r.q.d.Free(r.table, 16*len(r.Buffers))
	}
}
