package fusion

import (
	"errors"

	"github.com/sharevm/vmm/devices/scsi"
)

// request is a SCSI command of the guest and what its reply needs.
type request struct {
	scsi.Command
	epoch     uint64
	context   uint32
	header    [8]byte // of the frame, which the reply repeats
	sense     uint32  // lower half of the sense buffer's address
	senseRoom int
}

// Layout of a SCSI IO request and its reply (mpi_init.h).
const (
	offCDBLength   = 0x04
	offSenseLength = 0x05
	offLUN         = 0x0c
	offCDB         = 0x18
	offDataLength  = 0x28
	offSense       = 0x2c
	offSGL         = 0x30
	scsiReplySize  = 36
)

var errTooLong = errors.New("list of pieces of memory is too long")

// command starts a SCSI command. d.mu is held.
func (d *Device) command(m *message) {
	r := d.take()
	r.Clear()
	r.context, r.epoch = m.context(), d.epoch
	copy(r.header[:], m.data[:])
	r.sense, r.senseRoom = le.Uint32(m.data[offSense:]), int(m.data[offSenseLength])
	copy(r.CDB[:min(int(m.data[offCDBLength]), 16)], m.data[offCDB:])
	r.LUN = scsi.LUN(m.data[offLUN:])
	id := int(m.data[0])
	switch {
	case m.data[1] != 0:
		d.refuse(r, iocInvalidBus)
	case id >= maxTargets:
		d.refuse(r, iocInvalidTarget)
	case !d.engine.Present(id):
		d.refuse(r, iocNoDevice)
	default:
		if err := d.gather(r, m); err != nil {
			d.log.Debug("SCSI request with a bad list of memory", "adapter", d.name, "error", err)
			d.refuse(r, iocInvalidSGL)
			return
		}
		d.flying++
		d.engine.Submit(id, &r.Command)
	}
}

// take returns a request that is not in use. d.mu is held.
func (d *Device) take() *request {
	if n := len(d.spare); n > 0 {
		r := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return r
	}
	r := new(request)
	r.Owner = r
	return r
}

// refuse ends a request that reaches no device.
func (d *Device) refuse(r *request, status uint16) {
	p := r.reply()
	le.PutUint16(p[14:], status)
	p[13] = scsiNoStatus
	d.respond(p[:])
	d.spare = append(d.spare, r)
}

// reply starts the reply frame of a SCSI command.
func (r *request) reply() (p [scsiReplySize]byte) {
	copy(p[:], r.header[:])
	p[2] = scsiReplySize / 4
	le.PutUint32(p[8:], r.context)
	le.PutUint16(p[0x20:], 0xffff) // the tag on the bus is not known
	return p
}

// done ends a request that the engine has carried out or taken back.
func (d *Device) done(c *scsi.Command) {
	r := c.Owner.(*request)
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { d.spare = append(d.spare, r) }()
	if r.epoch != d.epoch { // a reset: nobody waits for it
		return
	}
	d.flying--
	if !c.Aborted && c.Status == scsi.Good && c.Residual() == 0 && !c.Overrun && r.context>>31 == 0 {
		d.send(r.context)
		return
	}
	p := r.reply()
	status, state := uint16(iocSuccess), uint8(0)
	switch {
	case c.Aborted:
		status, state = iocTaskTerminated, scsiTerminated|scsiNoStatus
	case c.SenseLength > 0:
		n := min(c.SenseLength, r.senseRoom)
		state = scsiAutosenseValid
		if err := d.mem.Write(uint64(d.registers.senseHigh)<<32|uint64(r.sense), c.Sense[:n]); err != nil {
			n, state = 0, scsiAutosenseFailed
		}
		le.PutUint32(p[0x18:], uint32(n))
	case c.Overrun:
		status = iocOverrun
	case c.Residual() > 0:
		status = iocUnderrun
	}
	p[12], p[13] = uint8(c.Status), state
	le.PutUint16(p[14:], status)
	le.PutUint32(p[0x14:], uint32(c.Moved))
	d.respond(p[:])
}

// Flags of scatter gather elements (mpi.h).
const (
	sgeLast      = 0x80 // of its segment
	sgeEndOfList = 0x01
	sgeWide      = 0x02 // an address of 64 bits
	sgeType      = 0x30
	sgeSimple    = 0x10
	sgeChain     = 0x30

	maxElements = 2048 // of one list, chains included
)

// gather collects the memory that a request's scatter gather list names, up to its data length.
func (d *Device) gather(r *request, m *message) error {
	left := uint64(le.Uint32(m.data[offDataLength:]))
	segment, at := m.data[:], offSGL
	chain := int(m.data[2]) * 4 // where the chain element lies in the segment, 0 for none
	for n := 0; left > 0; n++ {
		if n == maxElements || left > maxDataBytes {
			return errTooLong
		}
		e, err := element(segment, at)
		if err != nil {
			return err
		}
		switch e.flags & sgeType {
		case sgeChain:
			size := uint64(e.length & 0xffff)
			next, err := d.mem.Slice(e.address, size)
			if err != nil {
				return err
			}
			chain, segment, at = int(e.length>>16&0xff)*4, next, 0
			continue
		case sgeSimple:
			take := min(uint64(e.length), left)
			if take > 0 {
				p, err := d.mem.Slice(e.address, take)
				if err != nil {
					return err
				}
				r.Add(p)
				left -= take
			}
		default:
			return errors.New("element of unknown type")
		}
		at += e.size
		if e.flags&sgeLast != 0 {
			if e.flags&sgeEndOfList != 0 || chain == 0 {
				return nil
			}
			at = chain
		}
	}
	return nil
}

// sge is a scatter gather element, copied once.
type sge struct {
	flags   uint8
	length  uint32 // 24 bits
	address uint64
	size    int // of the element itself in bytes
}

// element reads the one at an offset of a segment.
func element(segment []byte, at int) (e sge, err error) {
	if at < 0 || at+8 > len(segment) {
		return e, errors.New("element outside its segment")
	}
	var raw [12]byte
	copy(raw[:], segment[at:])
	word := le.Uint32(raw[:])
	e = sge{flags: uint8(word >> 24), length: word & 0xffffff, address: uint64(le.Uint32(raw[4:])), size: 8}
	if e.flags&sgeWide != 0 {
		if at+12 > len(segment) {
			return e, errors.New("element outside its segment")
		}
		e.address, e.size = le.Uint64(raw[4:]), 12
	}
	return e, nil
}
