package pvscsi

import (
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Layout of the rings' state.
const (
	stReqProduced = 0x00
	stReqConsumed = 0x04
	stReqLog      = 0x08
	stCmpProduced = 0x0c
	stCmpConsumed = 0x10
	stCmpLog      = 0x14
	stMsgLog      = 0x88

	requestSize    = 128
	completionSize = 32
	messageSize    = 128
)

// rings are the rings as the driver set them up, checked; pages are slices of guest memory.
type rings struct {
	ready       bool
	setup       [maxWords * 4]byte // the driver's command
	message     [34 * 4]byte       // and that for the ring of messages
	messages    bool
	state       []byte
	requests    [maxRing][]byte
	completions [maxRing][]byte
	reqEntries  uint32 // powers of two
	cmpEntries  uint32
	consumed    uint32 // requests taken
	produced    uint32 // completions given
}

// slot is entry index of a ring.
func slot(pages *[maxRing][]byte, index, entries uint32, size int) []byte {
	at := int(index&(entries-1)) * size
	return pages[at/pageSize][at%pageSize:][:size]
}

// setup serves the set-up of rings. Both start empty.
func (d *Device) setup(p []byte) bool {
	r, ok := d.build(p)
	if !ok {
		return false
	}
	d.epoch++
	d.flying, d.aborting, d.starved = 0, 0, false
	d.takeBack(func() { d.engine.Abort(nil) }) // of a driver that did not reset first
	shared.Store32(r.state, stReqLog, uint32(bits.TrailingZeros32(r.reqEntries)))
	shared.Store32(r.state, stCmpLog, uint32(bits.TrailingZeros32(r.cmpEntries)))
	r.consumed, r.produced = shared.Load32(r.state, stReqConsumed), shared.Load32(r.state, stCmpProduced)
	d.rings = r
	return true
}

// build checks a set-up command and finds the pages that it names.
func (d *Device) build(p []byte) (r rings, ok bool) {
	copy(r.setup[:], p)
	requests, completions := le.Uint32(p[0:]), le.Uint32(p[4:])
	if !ringPages(requests, maxRing) || !ringPages(completions, maxRing) {
		return r, false
	}
	page := func(at int) []byte {
		number := le.Uint64(p[at:])
		if number >= 1<<(64-pageShift) {
			return nil
		}
		s, err := d.mem.Slice(number<<pageShift, pageSize)
		if err != nil {
			return nil
		}
		return s
	}
	if r.state = page(8); r.state == nil {
		return r, false
	}
	for i := range requests {
		if r.requests[i] = page(16 + 8*int(i)); r.requests[i] == nil {
			return r, false
		}
	}
	for i := range completions {
		if r.completions[i] = page(16 + 8*maxRing + 8*int(i)); r.completions[i] == nil {
			return r, false
		}
	}
	r.reqEntries, r.cmpEntries = requests*(pageSize/requestSize), completions*(pageSize/completionSize)
	r.ready = true
	return r, true
}

// ringPages says whether a ring may have n pages.
func ringPages(n, most uint32) bool { return n >= 1 && n <= most && n&(n-1) == 0 }

// setupMessages takes the ring for messages of devices that come and go. None do, so that nothing is ever stored there.
func (d *Device) setupMessages(p []byte) bool {
	pages := le.Uint32(p)
	if !d.rings.ready || !ringPages(pages, maxMessage) {
		return false
	}
	copy(d.rings.message[:], p)
	d.rings.messages = true
	shared.Store32(d.rings.state, stMsgLog, uint32(bits.TrailingZeros32(pages*(pageSize/messageSize))))
	return true
}

// fetch takes what the request ring holds, as far as there is room for the completions. d.mu is held.
func (d *Device) fetch() {
	r := &d.rings
	if !r.ready || d.paused {
		return
	}
	for produced := shared.Load32(r.state, stReqProduced); r.consumed != produced; {
		if produced-r.consumed > r.reqEntries {
			d.log.Warn("SCSI adapter stops: its driver broke the protocol", "adapter", d.name,
				"error", fmt.Errorf("%d requests in a ring of %d", produced-r.consumed, r.reqEntries))
			r.ready = false
			return
		}
		waiting := r.produced - shared.Load32(r.state, stCmpConsumed)
		if d.flying >= int(r.reqEntries) || uint64(waiting)+uint64(d.flying) >= uint64(r.cmpEntries) {
			d.starved = true
			return
		}
		var e [requestSize]byte
		copy(e[:], slot(&r.requests, r.consumed, r.reqEntries, requestSize))
		r.consumed++
		shared.Store32(r.state, stReqConsumed, r.consumed)
		d.submit(&e)
	}
}

// request is a SCSI command of the guest and what its completion needs.
type request struct {
	scsi.Command
	epoch     uint64
	context   uint64
	sense     uint64 // address
	senseRoom uint32
	aborted   bool // by the driver's abort command
}

// Layout of a request and its flags.
const (
	rqContext   = 0
	rqData      = 8
	rqLength    = 16
	rqSense     = 24
	rqSenseRoom = 32
	rqFlags     = 36
	rqCDB       = 40
	rqCDBLength = 56
	rqLUN       = 57
	rqBus       = 66
	rqTarget    = 67

	flagList      = 1 << 0
	flagOutOfBand = 1 << 1
	flagNone      = 1 << 2 // no data
)

// Statuses of the adapter.
const (
	hostSuccess    = 0x00
	hostSelTimeout = 0x11
	hostDataRun    = 0x12
	hostBadParam   = 0x1a
	hostSenseFault = 0x1b
	hostReset      = 0x25
	hostAborted    = 0x26
)

// submit starts the request in a copy of its descriptor.
func (d *Device) submit(e *[requestSize]byte) {
	r := d.take()
	r.Clear()
	r.epoch, r.aborted = d.epoch, false
	r.context, r.sense, r.senseRoom = le.Uint64(e[rqContext:]), le.Uint64(e[rqSense:]), le.Uint32(e[rqSenseRoom:])
	copy(r.CDB[:min(int(e[rqCDBLength]), 16)], e[rqCDB:])
	r.LUN = scsi.LUN(e[rqLUN:])
	flags := le.Uint32(e[rqFlags:])
	id := int(e[rqTarget])
	d.flying++
	switch {
	case e[rqBus] != 0 || !d.engine.Present(id):
		d.complete(r, hostSelTimeout)
	case flags&flagOutOfBand != 0:
		d.complete(r, hostBadParam)
	default:
		if length := le.Uint64(e[rqLength:]); flags&flagNone == 0 && length > 0 {
			if err := d.gather(r, le.Uint64(e[rqData:]), length, flags&flagList != 0); err != nil {
				d.log.Debug("SCSI request with bad memory", "adapter", d.name, "error", err)
				d.complete(r, hostBadParam)
				return
			}
		}
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

const (
	elementSize = 16
	flagChain   = 1
	maxElements = 2048     // of one list, chains included
	maxData     = 64 << 20 // bytes of one request
)

// gather collects the memory that a request names: one piece, or a list of pieces.
func (d *Device) gather(r *request, address, length uint64, list bool) error {
	if length > maxData {
		return fmt.Errorf("%d bytes of data", length)
	}
	if !list {
		p, err := d.mem.Slice(address, length)
		if err != nil {
			return err
		}
		r.Add(p)
		return nil
	}
	for n := 0; length > 0; n++ {
		if n == maxElements {
			return fmt.Errorf("more than %d elements", maxElements)
		}
		var e [elementSize]byte
		if err := d.mem.Read(address, e[:]); err != nil {
			return err
		}
		at, size := le.Uint64(e[0:]), uint64(le.Uint32(e[8:]))
		if le.Uint32(e[12:])&flagChain != 0 {
			address = at
			continue
		}
		address += elementSize
		if size = min(size, length); size == 0 {
			continue
		}
		p, err := d.mem.Slice(at, size)
		if err != nil {
			return err
		}
		r.Add(p)
		length -= size
	}
	return nil
}

// done ends a request that the engine has carried out or taken back.
func (d *Device) done(c *scsi.Command) {
	r := c.Owner.(*request)
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.epoch != d.epoch { // a reset: nobody waits for it
		d.spare = append(d.spare, r)
		return
	}
	status := uint16(hostSuccess)
	switch {
	case c.Aborted && r.aborted:
		status = hostAborted
	case c.Aborted:
		status = hostReset
	case c.Overrun && c.Status == scsi.Good:
		status = hostDataRun
	}
	d.complete(r, status)
	if d.starved {
		d.starved = false
		d.kick.Signal()
	}
}

// complete stores the completion of r and gives r back. d.mu is held.
func (d *Device) complete(r *request, status uint16) {
	var e [completionSize]byte
	d.flying--
	defer func() { d.spare = append(d.spare, r) }()
	g := &d.rings
	if !g.ready {
		return
	}
	le.PutUint64(e[0:], r.context)
	le.PutUint64(e[8:], uint64(r.Moved))
	if n := min(uint32(r.SenseLength), r.senseRoom); n > 0 {
		if d.mem.Write(r.sense, r.Sense[:n]) != nil {
			n, status = 0, hostSenseFault
		}
		le.PutUint32(e[16:], n)
	}
	le.PutUint16(e[20:], status)
	le.PutUint16(e[22:], uint16(r.Status))
	copy(slot(&g.completions, g.produced, g.cmpEntries, completionSize), e[:])
	g.produced++
	shared.Store32(g.state, stCmpProduced, g.produced)
	d.raise(intCompletion)
}
