package e1000

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Transmit descriptors (82574 datasheet, section 7.2; 317453, section 3.3).
const (
	descriptorSize = 16
	txdEOP         = 1 << 24 // in the second quarter's second word
	txdSegment     = 1 << 26 // TSE of a data descriptor
	txdInsert      = 1 << 26 // IC of a legacy descriptor
	txdReport      = 1 << 27
	txdExtended    = 1 << 29
	txdVLAN        = 1 << 30
	txdTypeMask    = 0xf << 20
	txdTypeData    = 1 << 20
	txdIP          = 1 << 8 // POPTS in the last word
	txdTransport   = 1 << 9
	contextTCP     = 1 << 24
	doneBit        = 1 << 0

	// maxPieces is how many descriptors a frame may have; one with more is dropped.
	maxPieces = 512
)

// transmitQueue is a queue's state besides its registers.
type transmitQueue struct {
	generation uint64 // changes whenever what is under way must not be written back
	context    context
}

// context is what a context descriptor says.
type context struct {
	ipStart, ipAt, sumStart, sumAt uint8
	ipEnd, sumEnd                  uint16
	tcp                            bool
	headers                        uint8
	segment                        uint16
}

// frame is what collect has found.
type frame struct {
	queue      int
	generation uint64
	head       uint32 // behind it
	bad        bool   // or no frame at all
	report     bool
	total      int
	offload    nic.Offload
}

// Transmit implements nic.Card.
func (d *Device) Transmit() bool {
	for range d.model.queues {
		i := d.nextTx
		d.nextTx = (i + 1) % d.model.queues
		f, ok := d.collect(i)
		if !ok {
			continue
		}
		if !f.bad {
			d.port.Send(d.bufs, &f.offload)
		}
		d.complete(&f)
		return true
	}
	return false
}

// collect takes what comes next out of a queue: a context, or a frame. Its pieces are then in bufs.
func (d *Device) collect(i int) (f frame, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := regTX + uint64(i)*queueStride
	q := &d.tx[i]
	size := d.reg(at+qLength) & 0xfff80 / descriptorSize
	head, tail := d.reg(at+qHead)&0xffff, d.reg(at+qTail)&0xffff
	if d.reg(regTCTL)&tctlEnable == 0 || head >= size || tail >= size {
		return f, false
	}
	base := uint64(d.reg(at+qBaseLow))&^15 | uint64(d.reg(at+qBaseHigh))<<32
	f = frame{queue: i, generation: q.generation}
	d.bufs, d.done = d.bufs[:0], d.done[:0]
	var popts uint32
	for n := 0; head != tail; n++ {
		var desc [descriptorSize]byte
		address := base + uint64(head)*descriptorSize
		if d.mem.Read(address, desc[:]) != nil {
			f.bad, f.head = true, tail // there is no ring
			return f, true
		}
		head = (head + 1) % size
		buffer, lower, upper := binary.LittleEndian.Uint64(desc[:]), binary.LittleEndian.Uint32(desc[8:]), binary.LittleEndian.Uint32(desc[12:])
		if lower&txdReport != 0 {
			f.report = true
			d.done = append(d.done, address)
		}
		extended := lower&txdExtended != 0
		if extended && lower&txdTypeMask != txdTypeData {
			q.context.set(buffer, lower, upper)
			if n == 0 {
				d.add(statTSCTC, lower>>26&1)
				f.bad, f.head = true, head
				return f, true
			}
			continue
		}
		if len(d.bufs) == 0 && f.total == 0 {
			popts = upper
		}
		f.add(d, buffer, lower, extended)
		if lower&txdEOP != 0 || n == maxPieces {
			f.bad = f.bad || lower&txdEOP == 0
			f.head = head
			d.leave(&f, &q.context, lower, upper, popts)
			return f, true
		}
	}
	return f, false // the rest of the frame is still to come
}

// add puts the buffer of a descriptor behind what there is.
func (f *frame) add(d *Device, buffer uint64, lower uint32, extended bool) {
	length := lower & 0xffff
	if extended {
		length = lower & 0xfffff
	}
	f.total += int(length)
	if length == 0 || f.bad {
		return
	}
	b, err := d.mem.Slice(buffer, uint64(length))
	if err != nil || f.total > network.MaxFrame {
		f.bad = true
		return
	}
	d.bufs = append(d.bufs, b)
}

// leave says in f what the last descriptor of a frame, and the context, leave to the card.
func (d *Device) leave(f *frame, c *context, lower, upper, popts uint32) {
	o := &f.offload
	o.InsertTag, o.Tag = lower&txdVLAN != 0 && d.reg(regCTRL)&ctrlVLAN != 0, uint16(upper>>16)
	if lower&txdExtended == 0 {
		if lower&txdInsert != 0 {
			o.Sum, o.SumStart, o.SumAt = true, int(upper>>8&0xff), int(lower>>16&0xff)
		}
		return
	}
	if popts&txdTransport != 0 {
		o.Sum, o.SumStart, o.SumAt, o.SumEnd = true, int(c.sumStart), int(c.sumAt), end(c.sumEnd)
	}
	if popts&txdIP != 0 {
		o.IPSum, o.IPStart, o.IPAt, o.IPEnd = true, int(c.ipStart), int(c.ipAt), end(c.ipEnd)
	}
	if lower&txdSegment != 0 {
		o.Segment, o.SumStart, o.HeaderLen = int(c.segment), int(c.sumStart), int(c.headers)
		f.bad = f.bad || !c.tcp || o.Segment == 0
	}
}

// end turns the place of the last byte into that behind it; 0 stays 0, the end of the frame.
func end(last uint16) int {
	if last == 0 {
		return 0
	}
	return int(last) + 1
}

func (c *context) set(buffer uint64, lower, upper uint32) {
	*c = context{
		ipStart: uint8(buffer), ipAt: uint8(buffer >> 8), ipEnd: uint16(buffer >> 16),
		sumStart: uint8(buffer >> 32), sumAt: uint8(buffer >> 40), sumEnd: uint16(buffer >> 48),
		tcp: lower&contextTCP != 0, headers: uint8(upper >> 8), segment: uint16(upper >> 16),
	}
}

// complete gives descriptors back, unless the queue is another one by now.
func (d *Device) complete(f *frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := &d.tx[f.queue]
	if q.generation != f.generation {
		return
	}
	for _, at := range d.done {
		if b, err := d.mem.Slice(at, descriptorSize); err == nil {
			shared.Store32(b, 12, shared.Load32(b, 12)|doneBit)
		}
	}
	at := regTX + uint64(f.queue)*queueStride
	d.set(at+qHead, f.head)
	if f.report {
		d.finished |= icrTXDW
		if d.model.queues > 1 {
			d.finished |= icrTXQ0 << f.queue
		}
	}
	if f.head == d.reg(at+qTail) {
		d.finished |= icrTXQE
	}
	if !f.bad {
		d.add(statGPTC, 1)
		d.add(statTPT, 1)
		d.addBytes(statGOTCL, f.total)
		d.addBytes(statTOTL, f.total)
	}
}

// Flush implements nic.Card.
func (d *Device) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.finished != 0 {
		d.raise(d.finished)
		d.finished = 0
	}
}
