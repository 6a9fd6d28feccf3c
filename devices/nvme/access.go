package nvme

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"

	"github.com/sharevm/vmm/internal/worker"
)

// caught is deferred where a vCPU's access reaches the controller: its panic breaks the controller, and neither the vCPU nor the machine.
func (d *Controller) caught() {
	if p := recover(); p != nil {
		d.fail(fmt.Errorf("register access: %w", &worker.PanicError{Value: p, Stack: debug.Stack()}))
	}
}

// Read implements bus.Device for the BAR. Doorbells and what has no meaning read as zeroes.
func (d *Controller) Read(off uint64, p []byte) {
	clear(p)
	if off >= doorbells {
		return
	}
	defer d.caught()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range fields {
		if !f.overlaps(off, p) {
			continue
		}
		v := d.get(f.off)
		for i := range f.size {
			if at := f.off + i - int(off); at >= 0 && at < len(p) {
				p[at] = uint8(v >> (8 * i))
			}
		}
	}
}

// Write implements bus.Device for the BAR. A write that covers a register in part leaves its other bytes.
func (d *Controller) Write(off uint64, p []byte) {
	defer d.caught()
	if off >= doorbells {
		d.ring(off-doorbells, p)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range fields {
		if !f.overlaps(off, p) {
			continue
		}
		var v uint64
		if !f.pulse {
			v = d.get(f.off)
		}
		for i := range f.size {
			if at := f.off + i - int(off); at >= 0 && at < len(p) {
				v = v&^(0xff<<(8*i)) | uint64(p[at])<<(8*i)
			}
		}
		d.set(f.off, v)
	}
}

// overlaps says whether an access of p at off touches the register.
func (f *field) overlaps(off uint64, p []byte) bool {
	return int(off) < f.off+f.size && f.off < int(off)+len(p)
}

// get returns the value of a register. d.mu is held.
func (d *Controller) get(reg int) uint64 {
	switch reg {
	case regCAP:
		return capabilities
	case regVS:
		return version
	case regINTMS, regINTMC:
		return uint64(d.masked.Load())
	case regCC:
		return uint64(d.cc)
	case regCSTS:
		return uint64(d.csts())
	case regAQA:
		return uint64(d.aqa)
	case regASQ:
		return d.asq
	case regACQ:
		return d.acq
	}
	return 0
}

func (d *Controller) csts() uint32 {
	v := d.shutdown
	if d.life == on || d.life == stopping && d.cc&ccEnable == 0 {
		v |= cstsReady
	}
	if d.fatal.Load() {
		v |= cstsFatal
	}
	if d.nssro {
		v |= cstsNSSRO
	}
	return v
}

// set stores a register. d.mu is held.
func (d *Controller) set(reg int, v uint64) {
	switch reg {
	case regINTMS:
		d.masked.Or(uint32(v))
		d.driveINTx()
	case regINTMC:
		d.masked.And(^uint32(v))
		d.driveINTx()
	case regCC:
		d.setCC(uint32(v) & ccWritable)
	case regCSTS:
		d.nssro = d.nssro && v&cstsNSSRO == 0
	case regNSSR:
		if v == nssrMagic {
			d.disable()
			d.nssro = true
		}
	case regAQA:
		d.aqa = uint32(v) & aqaWritable
	case regASQ:
		d.asq = v &^ (pageSize - 1)
	case regACQ:
		d.acq = v &^ (pageSize - 1)
	}
}

// ring takes a write to the doorbells: even ones are tails of submission queues, odd ones heads of completion queues.
func (d *Controller) ring(off uint64, p []byte) {
	if off%4 != 0 || len(p) < 2 || off >= doorbellsEnd {
		return
	}
	var b [8]byte
	copy(b[:], p)
	v := binary.LittleEndian.Uint32(b[:])
	id := off / 8
	if id >= uint64(len(d.sqs)) {
		d.events.raise(eventInvalidDoorbell)
		return
	}
	if off%8 == 0 {
		if q := d.sqs[id].Load(); q == nil {
			d.events.raise(eventInvalidDoorbell)
		} else if !q.ringBell(v) {
			d.events.raise(eventInvalidValue)
		}
		return
	}
	if q := d.cqs[id].Load(); q == nil {
		d.events.raise(eventInvalidDoorbell)
	} else if !q.ringBell(v) {
		d.events.raise(eventInvalidValue)
	}
}
