package fusion

// phase is where a handshake through the doorbell is.
type phase uint8

const (
	phaseNone  phase = iota
	phaseWrite       // the driver writes the request's words
	phaseRead        // it reads the reply's half words
)

// handshake is the exchange of a request and its reply through the doorbell register.
type handshake struct {
	phase phase
	words int // of the request, in all
	data  [maxHandshake * 4]byte
	used  int // bytes of data written by the driver, or read
	size  int // bytes of the reply
}

// read is what the doorbell shows of it besides the adapter's state: the next half word of a reply, if there is one.
func (h *handshake) read(whole bool) uint32 {
	if h.phase == phaseNone {
		return 0
	}
	v := uint32(doorbellActive)
	if h.phase == phaseRead && h.used < h.size {
		v |= uint32(le.Uint16(h.data[h.used:]))
		if whole {
			h.used += 2
		}
	}
	return v
}

// acknowledge is the driver's write to the interrupt status: during a reply the next half word raises it again at once.
func (h *handshake) acknowledge(status *uint32) {
	if h.phase == phaseRead {
		if h.used < h.size {
			return
		}
		h.phase = phaseNone // and the interrupt stays for the last time
		return
	}
	*status &^= intDoorbell
}

// ring takes a store to the doorbell.
func (d *Device) ring(v uint32) {
	r := &d.registers
	h := &r.handshake
	if h.phase == phaseWrite {
		le.PutUint32(h.data[h.used:], v)
		if h.used += 4; h.used == h.words*4 {
			d.handshakeRequest()
		}
		return
	}
	switch v >> 24 {
	case fnMessageUnitReset:
		d.reset(false)
	case fnIOUnitReset:
		d.reset(true)
	case fnHandshake:
		words := int(v >> 16 & 0xff)
		if r.state == stateFault || r.state == stateReset || words == 0 {
			return
		}
		*h = handshake{phase: phaseWrite, words: words}
		r.status |= intDoorbell
		d.interrupt()
	case fnFrameRemoval:
		r.free.entries = r.free.entries[:0]
	}
}

// handshakeRequest carries out the request that is complete. Those whose outcome goes to the reply FIFO have no reply here.
func (d *Device) handshakeRequest() {
	r := &d.registers
	h := &r.handshake
	var m message
	copy(m.data[:], h.data[:h.used])
	if m.function() == fnTaskManagement && r.state == stateOperational {
		h.phase = phaseNone
		r.status |= intDoorbell // the driver waits for the end of the handshake
		d.manage(&m)
		d.interrupt()
		return
	}
	reply := d.answer(&m)
	h.phase, h.used, h.size = phaseRead, 0, copy(h.data[:], reply)
	r.status |= intDoorbell
	d.interrupt()
}
