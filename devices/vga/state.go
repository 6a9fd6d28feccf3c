package vga

import "github.com/sharevm/vmm/vmm/state"

var _ state.Device = (*Device)(nil)

// Pause implements state.Device: a card does nothing by itself.
func (d *Device) Pause() {}

// Resume implements state.Device.
func (d *Device) Resume() {}

// Save appends the card's registers, and of its video memory the pages that hold something.
func (d *Device) Save(w *state.Writer) {
	d.function.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version("vga", 1)
	r := &d.regs
	for _, v := range []uint8{r.misc, r.feature, r.status, r.seqIndex, r.gfxIndex, r.crtIndex, r.attrIndex, r.dacMask, r.dacWrite, r.dacRead, r.dacSub, r.dacState} {
		w.U8(v)
	}
	w.Bool(r.attrData)
	for _, p := range [][]byte{r.seq[:], r.gfx[:], r.crt[:], r.attr[:], r.dac[:], d.latch[:], d.edid[:]} {
		w.Bytes(p)
	}
	w.U16(d.dispi.index)
	w.U16(d.dispi.version)
	for _, v := range d.dispi.regs {
		w.U16(v)
	}
	w.U32(uint32(len(d.vram)))
	w.Pages(d.vram)
}

// Restore implements state.Device.
func (d *Device) Restore(s *state.Reader) error {
	if err := d.function.Restore(s); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Version("vga", 1)
	var r registers
	for _, v := range []*uint8{&r.misc, &r.feature, &r.status, &r.seqIndex, &r.gfxIndex, &r.crtIndex, &r.attrIndex, &r.dacMask, &r.dacWrite, &r.dacRead, &r.dacSub, &r.dacState} {
		*v = s.U8()
	}
	r.attrData = s.Bool()
	var latch [4]byte
	edid := d.edid
	for _, p := range [][]byte{r.seq[:], r.gfx[:], r.crt[:], r.attr[:], r.dac[:], latch[:], edid[:]} {
		if got := s.Bytes(len(p)); copy(p, got) != len(p) {
			s.Fail("VGA registers of %d bytes where %d were expected", len(got), len(p))
			return s.Err()
		}
	}
	if r.dacSub > 2 {
		s.Fail("VGA: colour %d of three", r.dacSub)
	}
	var v dispi
	v.index, v.version = s.U16(), s.U16()
	for i := range v.regs {
		v.regs[i] = s.U16()
	}
	if v.bad(len(d.vram)) {
		s.Fail("VGA: DISPI registers %v", v.regs)
	}
	if n := s.U32(); s.Err() == nil && n != uint32(len(d.vram)) {
		s.Fail("%d bytes of video memory, this card has %d", n, len(d.vram))
	}
	if s.Err() != nil {
		return s.Err()
	}
	if s.Pages(d.vram); s.Err() != nil {
		return s.Err()
	}
	d.regs, d.dispi, d.latch, d.edid, d.touched = r, v, latch, edid, true
	d.changed(0, len(d.vram))
	return nil
}

// bad says whether a guest could not have set these registers.
func (v *dispi) bad(vram int) bool {
	r := &v.regs
	switch r[dispiBPP] {
	case 0, 4, 8, 15, 16, 24, 32:
	default:
		return true
	}
	return v.version < dispiOldest || v.version > dispiNewest || r[dispiXRes] > maxWidth || r[dispiVirtWidth] > maxWidth || r[dispiYRes] > maxHeight ||
		int(r[dispiBank])<<16 >= vram
}
