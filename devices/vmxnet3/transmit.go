package vmxnet3

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// frame is what collect has found.
type frame struct {
	queue      int
	generation uint64
	ring       ring   // behind it
	last       uint32 // its last descriptor
	report     bool
	bad        uint32 // why the queue has to stop
	total      int
	to         [6]byte
	offload    nic.Offload
}

// Transmit implements nic.Card.
func (d *Device) Transmit() bool {
	f, ok := d.collect()
	if !ok {
		return false
	}
	if f.bad == 0 {
		d.port.Send(d.bufs, &f.offload)
	}
	d.complete(&f)
	return true
}

// collect takes the next frame out of the queues, which have their turns. Its pieces are then in bufs.
func (d *Device) collect() (f frame, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range d.tx {
		i := d.nextTx
		d.nextTx = (i + 1) % len(d.tx)
		if f, ok = d.collectFrom(i); ok {
			return f, true
		}
	}
	return f, false
}

func (d *Device) collectFrom(i int) (f frame, ok bool) {
	q := &d.tx[i]
	if q.stopped != 0 {
		return f, false
	}
	f = frame{queue: i, generation: d.generation, ring: q.ring}
	d.bufs = d.bufs[:0]
	var mode, third uint32
	for n := 0; ; n++ {
		if n == maxPieces || n == int(f.ring.size) {
			f.bad = errBig
			return f, true
		}
		desc, err := d.mem.Slice(f.ring.at(), descSize)
		if err != nil {
			f.bad = errInvalid
			return f, true
		}
		word := shared.Load32(desc, 8) // first: the generation says whether the rest is there
		if word&txGen != 0 != f.ring.generation {
			return f, false // the rest of the frame is still to come
		}
		flags := shared.Load32(desc, 12)
		if n == 0 {
			mode, third = flags, word
		}
		length := uint64(word & txLen)
		if length == 0 {
			length = txLen + 1
		}
		b, err := d.mem.Slice(binary.LittleEndian.Uint64(desc), length)
		if err != nil || f.total+int(length) > network.MaxFrame {
			f.bad = errInvalid
			return f, true
		}
		d.bufs = append(d.bufs, b)
		f.total += int(length)
		f.last = f.ring.next
		f.ring.advance()
		if flags&txEOP != 0 {
			f.report = flags&txReport != 0
			f.offload = leave(mode, third)
			break
		}
	}
	copy(f.to[:], d.bufs[0])
	return f, true
}

// leave is what the first descriptor of a frame leaves to the card.
func leave(mode, third uint32) (o nic.Offload) {
	o.InsertTag, o.Tag = mode&txInsert != 0, uint16(mode>>16)
	headers, amount := int(mode&txHeaders), int(third>>txMSSShift)
	switch mode >> txMode & 3 {
	case modeSum:
		o.Sum, o.SumStart, o.SumAt = true, headers, amount
	case modeTSO:
		o.HeaderLen, o.Segment = headers, amount
	}
	return o
}

// complete gives descriptors back, or stops the queue of a frame that cannot be, unless the card has been reset meanwhile.
func (d *Device) complete(f *frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != f.generation {
		return
	}
	q := &d.tx[f.queue]
	if f.bad != 0 {
		q.stopped = f.bad
		q.stats[statTxError]++
		d.log.Warn("a network card's queue stops: a descriptor is invalid", "card", d.name, "queue", f.queue)
		d.event(ecrTxError)
		return
	}
	q.ring = f.ring
	count(&q.stats, f.to[:], f.total)
	if !f.report {
		return
	}
	if comp, err := d.mem.Slice(q.comp.at(), descSize); err == nil {
		shared.Store32(comp, 0, f.last)
		shared.Store32(comp, 12, generationBit(q.comp.generation))
	}
	q.comp.advance()
	d.finished |= 1 << q.intr
}

func generationBit(g bool) uint32 {
	if g {
		return compGen
	}
	return 0
}

// Flush implements nic.Card.
func (d *Device) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for v := range vectors {
		if d.finished>>v&1 != 0 {
			d.fire(v)
		}
	}
	d.finished = 0
}
