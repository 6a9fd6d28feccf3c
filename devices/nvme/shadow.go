package nvme

import (
	"fmt"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// shadowBuffers are the two pages of Doorbell Buffer Config (section 5.7): one in which the driver leaves what it would write to the doorbells
// of I/O queues, one in which we say at which value it has to ring all the same. Both are laid out as the doorbells are.
type shadowBuffers struct {
	values, events uint64 // guest-physical addresses
	valuePage      []byte // nil while the driver uses none
	eventPage      []byte
}

// doorbellBuffer is the part of one doorbell, or empty.
type doorbellBuffer struct{ values, events []byte }

// of returns the part of doorbell n, counted from the first. Admin queues have none: drivers ring theirs.
func (s *shadowBuffers) of(n uint16) doorbellBuffer {
	if n < 2 || s.valuePage == nil {
		return doorbellBuffer{}
	}
	return doorbellBuffer{s.valuePage[4*n:][:4], s.eventPage[4*n:][:4]}
}

func (b *doorbellBuffer) used() bool { return b.values != nil }

// value is what the driver has left last.
func (b *doorbellBuffer) value() uint32 { return shared.Load32(b.values, 0) }

// watch asks the driver to ring when it goes beyond v. What it left before it saw that shows in value afterwards.
func (b *doorbellBuffer) watch(v uint32) { shared.Store32(b.events, 0, v) }

// setShadow takes over two pages of doorbell buffers.
func (d *Controller) setShadow(values, events uint64) status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.useShadow(values, events)
}

// useShadow is setShadow with d.mu held.
func (d *Controller) useShadow(values, events uint64) status {
	if values%pageSize != 0 || events%pageSize != 0 {
		return invalidField
	}
	s := shadowBuffers{values: values, events: events}
	var err error
	if s.valuePage, err = d.mem.Slice(values, pageSize); err != nil {
		return invalidField
	}
	if s.eventPage, err = d.mem.Slice(events, pageSize); err != nil {
		return invalidField
	}
	d.shadow = s
	for i := range d.sqs {
		if q := d.sqs[i].Load(); q != nil {
			q.setBuffers(s.of(2 * q.id))
		}
		if q := d.cqs[i].Load(); q != nil {
			q.mu.Lock()
			q.buffers = s.of(2*q.id + 1)
			q.mu.Unlock()
		}
	}
	return success
}

// bindDoorbells leaves the doorbells of I/O submission queues to the kernel: their values are in memory. It takes the lock of PCI configuration
// space, so that d.mu must not be held.
func (d *Controller) bindDoorbells() {
	var bells []bus.Doorbell
	for i := 1; i < len(d.kicks); i++ {
		bells = append(bells, bus.Doorbell{Addr: doorbells + 8*uint64(i), Width: 4, Event: d.kicks[i]})
	}
	if err := d.fn.SetDoorbells(0, bells...); err != nil {
		d.fail(fmt.Errorf("doorbells: %w", err))
	}
	d.bound.Store(true)
}

// unbindDoorbells undoes bindDoorbells.
func (d *Controller) unbindDoorbells() {
	if !d.bound.Swap(false) {
		return
	}
	if err := d.fn.SetDoorbells(0); err != nil {
		d.fail(fmt.Errorf("doorbells: %w", err))
	}
}
