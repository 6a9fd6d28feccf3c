package fusion

import (
	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "fusion"
	stateVersion = 1
)

// Pause implements state.Device: commands under way end, and their replies are posted.
func (d *Device) Pause() {
	d.mu.Lock()
	d.paused = true
	d.mu.Unlock()
	d.tasks.Wait()
	d.engine.Stop()
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.engine.Start()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	r := &d.registers
	for {
		address, ok := r.requests.pop()
		if !ok {
			return
		}
		d.post(address)
	}
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.fn.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.registers
	w.Version(stateName, stateVersion)
	w.U8(uint8(d.model))
	w.U8(r.state)
	w.U16(r.fault)
	w.U8(r.who)
	w.U32(r.status)
	w.U32(r.mask)
	w.U32(r.diagnostic)
	w.U8(r.sequence)
	w.Bool(r.events)
	w.U8(r.devices)
	w.U8(r.buses)
	w.U16(r.replySize)
	w.U32(r.frameHigh)
	w.U32(r.senseHigh)
	h := &r.handshake
	w.U8(uint8(h.phase))
	w.U16(uint16(h.words))
	w.U16(uint16(h.used))
	w.U16(uint16(h.size))
	w.Bytes(h.data[:])
	for _, f := range []*fifo{&r.requests, &r.free, &r.post} {
		w.U16(uint16(len(f.entries)))
		for _, v := range f.entries {
			w.U32(v)
		}
	}
	for _, v := range d.requested {
		w.U32(v)
	}
	d.engine.Save(w)
}

// Restore implements state.Device.
func (d *Device) Restore(s *state.Reader) error {
	if err := d.fn.Restore(s); err != nil {
		return err
	}
	s.Version(stateName, stateVersion)
	if m := Model(s.U8()); s.Err() == nil && m != d.model {
		s.Fail("adapter of model %d", m)
	}
	var r registers
	r.state, r.fault, r.who = s.U8(), s.U16(), s.U8()
	r.status, r.mask, r.diagnostic, r.sequence = s.U32(), s.U32(), s.U32(), s.U8()
	r.events, r.devices, r.buses, r.replySize = s.Bool(), s.U8(), s.U8(), s.U16()
	r.frameHigh, r.senseHigh = s.U32(), s.U32()
	h := &r.handshake
	h.phase, h.words, h.used, h.size = phase(s.U8()), int(s.U16()), int(s.U16()), int(s.U16())
	data := s.Bytes(len(h.data))
	for _, f := range []*fifo{&r.requests, &r.free, &r.post} {
		n := int(s.U16())
		if n > replyDepth {
			s.Fail("FIFO of %d entries", n)
		}
		for range n {
			if s.Err() != nil {
				break
			}
			f.entries = append(f.entries, s.U32())
		}
	}
	var requested [maxTargets]uint32
	for i := range requested {
		requested[i] = s.U32()
		if requested[i]&^uint32(busCapabilities) != 0 {
			s.Fail("parameters %#x of a bus", requested[i])
		}
	}
	if s.Err() == nil {
		r.check(s, data)
	}
	if s.Err() != nil {
		return s.Err()
	}
	copy(h.data[:], data)
	if err := d.engine.Restore(s); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registers, d.requested, d.paused = r, requested, true
	d.raised = r.pending()&^r.mask != 0
	return nil
}

// check refuses registers that no guest can bring about.
func (r *registers) check(s *state.Reader, data []byte) {
	h := &r.handshake
	switch {
	case r.state != stateReady && r.state != stateOperational && r.state != stateFault, r.who > 7:
		s.Fail("adapter in state %d of %d", r.state, r.who)
	case r.status&^uint32(intDoorbell) != 0 || r.mask&^uint32(intDoorbell|intReply) != 0 || r.diagnostic&^uint32(diagWritable) != 0:
		s.Fail("interrupt status %#x, mask %#x, diagnostic %#x", r.status, r.mask, r.diagnostic)
	case int(r.sequence) > len(sequenceKeys):
		s.Fail("%d keys", r.sequence)
	case len(data) != len(h.data) || h.phase > phaseRead || h.words >= maxHandshake || h.size > len(h.data) || h.used > len(h.data):
		s.Fail("handshake in phase %d: %d words, %d of %d bytes", h.phase, h.words, h.used, h.size)
	case h.phase == phaseWrite && (h.used >= h.words*4 || h.used%4 != 0), h.phase == phaseRead && (h.used > h.size || h.used%2 != 0):
		s.Fail("handshake in phase %d: %d words, %d of %d bytes", h.phase, h.words, h.used, h.size)
	}
}
