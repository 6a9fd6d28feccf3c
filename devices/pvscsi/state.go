package pvscsi

import (
	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "pvscsi"
	stateVersion = 1
)

// Pause implements state.Device. Pause and Resume are called in turns: commands under way end, and their completions are stored. Further requests stay in the ring.
func (d *Device) Pause() {
	d.mu.Lock()
	d.paused = true
	d.mu.Unlock()
	d.workers.Stop()
	d.tasks.Wait()
	d.engine.Stop()
	d.started = false
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	d.paused = false
	d.mu.Unlock()
	d.start()
	d.kick.Signal()
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.fn.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U32(d.status)
	w.U32(d.mask)
	c := &d.command
	w.U32(c.code)
	w.U16(uint16(c.have))
	w.U32(c.result)
	w.Bytes(c.data[:])
	r := &d.rings
	w.Bool(r.ready)
	w.Bytes(r.setup[:])
	w.Bool(r.messages)
	w.Bytes(r.message[:])
	w.U32(r.consumed)
	w.U32(r.produced)
	d.engine.Save(w)
}

// Restore implements state.Device.
func (d *Device) Restore(s *state.Reader) error {
	if err := d.fn.Restore(s); err != nil {
		return err
	}
	s.Version(stateName, stateVersion)
	status, mask := s.U32(), s.U32()
	var c command
	c.code, c.have, c.result = s.U32(), int(s.U16()), s.U32()
	data := s.Bytes(len(c.data))
	var r rings
	ready := s.Bool()
	setup := s.Bytes(len(r.setup))
	messages := s.Bool()
	message := s.Bytes(len(r.message))
	consumed, produced := s.U32(), s.U32()
	if s.Err() == nil {
		switch {
		case status&^intAll != 0 || mask&^intAll != 0:
			s.Fail("interrupt status %#x, mask %#x", status, mask)
		case c.code > lastCommand || c.code != cmdNone && c.have >= words[c.code] || c.have > maxWords:
			s.Fail("command %d with %d words", c.code, c.have)
		case len(data) != len(c.data) || len(setup) != len(r.setup) || len(message) != len(r.message):
			s.Fail("commands of %d, %d and %d bytes", len(data), len(setup), len(message))
		}
	}
	if s.Err() == nil && ready {
		built, ok := d.build(setup)
		if !ok {
			s.Fail("rings that cannot be")
		}
		r = built
	}
	if s.Err() != nil {
		return s.Err()
	}
	if err := d.engine.Restore(s); err != nil {
		return err
	}
	copy(c.data[:], data)
	copy(r.setup[:], setup)
	copy(r.message[:], message)
	r.messages, r.consumed, r.produced = messages, consumed, produced
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status, d.mask, d.command, d.rings, d.paused = status, mask, c, r, true
	d.epoch++
	return nil
}
