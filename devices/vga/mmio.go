package vga

// What BAR 2 has where.
const (
	mmioSize    = 0x1000
	mmioPorts   = 0x400 // 3C0h to 3DFh
	mmioDispi   = 0x500 // 16 bits each
	mmioExtSize = 0x600
	mmioEndian  = 0x604
	mmioExtEnd  = 0x608

	extSize        = mmioExtEnd - mmioExtSize
	littleEndian32 = 0x1e1e1e1e
)

// mmio is BAR 2.
type mmio Device

// Read implements bus.Device.
func (m *mmio) Read(off uint64, p []byte) {
	d := (*Device)(m)
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(p)
	switch {
	case off < uint64(len(d.edid)):
		copy(p, d.edid[off:])
	case off >= mmioPorts && off < mmioPorts+0x20:
		for i := range p {
			if at := off - mmioPorts + uint64(i); at < 0x20 {
				p[i] = d.readPort(0x3c0 + uint16(at))
			}
		}
	case off >= mmioDispi && off < mmioDispi+2*dispiCount:
		v := d.readDispi(uint16(off-mmioDispi) / 2)
		answer(p, uint64(v)>>(8*(off&1)))
	case off >= mmioExtSize && off < mmioEndian:
		answer(p, (extSize|littleEndian32<<32)>>(8*(off-mmioExtSize)))
	case off >= mmioEndian && off < mmioExtEnd:
		answer(p, littleEndian32>>(8*(off-mmioEndian)))
	}
}

// Write implements bus.Device. The byte order cannot be changed.
func (m *mmio) Write(off uint64, p []byte) {
	d := (*Device)(m)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case off >= mmioPorts && off < mmioPorts+0x20:
		for i := range p {
			if at := off - mmioPorts + uint64(i); at < 0x20 {
				d.writePort(0x3c0+uint16(at), p[i])
			}
		}
	case off >= mmioDispi && off < mmioDispi+2*dispiCount && off&1 == 0:
		d.writeDispi(uint16(off-mmioDispi)/2, uint16(littleEndian(p)))
	}
}
