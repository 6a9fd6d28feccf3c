package fusion

// The parallel bus as the adapter states it: wide, synchronous transfers at 40 MHz with an offset of 127. In device pages the same bits are parameters.
const (
	busWide         = 1 << 29
	busSyncOffset   = 127 << 16
	busSync40       = 0x0a << 8
	busCapabilities = busWide | 0xffff00
)

// scsiPortPage builds a page about the parallel bus.
func (d *Device) scsiPortPage(number uint8, address uint32) (page, uint16) {
	if address&0xff != 0 || number > 2 {
		return page{}, iocBadConfigPage
	}
	const lowVoltageDifferential, anyID = 3, 0xff << 24
	switch number {
	case 0:
		p := newPage(typeSCSIPort, 0, 2, 0x0c)
		p.u32(4, busWide|busSyncOffset|busSync40)
		p.u32(8, lowVoltageDifferential|anyID)
		return p, iocSuccess
	case 1:
		p := newPage(typeSCSIPort|attrChangeable, 1, 3, 0x10)
		p.u32(4, hostTarget|1<<(16+hostTarget))
		return p, iocSuccess
	}
	p := newPage(typeSCSIPort|attrPersistent, 2, 2, 0x4c)
	p.u32(4, 0x04)            // no reset of the bus before a driver begins
	p.u32(8, hostTarget|0x30) // for firmware and operating systems
	for i := range maxTargets {
		p.u8(0x0c+4*i+1, busSync40>>8)
		p.u16(0x0c+4*i+2, 0x0f) // disconnects, is scanned with its units, queues
	}
	return p, iocSuccess
}

// scsiDevicePage builds a page about one device on the parallel bus.
func (d *Device) scsiDevicePage(number uint8, address uint32) (page, uint16) {
	id := address & 0xff
	if address>>8 != 0 || id >= maxTargets || number > 3 {
		return page{}, iocBadConfigPage
	}
	switch number {
	case 0:
		p := newPage(typeSCSIDevice, 0, 4, 0x0c)
		p.u32(4, negotiate(d.requested[id]))
		p.u32(8, 1) // that is what was agreed on
		return p, iocSuccess
	case 1:
		p := newPage(typeSCSIDevice|attrChangeable, 1, 5, 0x10)
		p.u32(4, d.requested[id])
		return p, iocSuccess
	case 2:
		return newPage(typeSCSIDevice|attrChangeable, 2, 1, 0x10), iocSuccess
	}
	return newPage(typeSCSIDevice, 3, 0, 0x0c), iocSuccess
}

// negotiate is what adapter and device agree on where the guest asks for want: periods shorter than the bus knows become its shortest.
func negotiate(want uint32) uint32 {
	offset, period := want&0xff0000, want&0xff00
	if offset == 0 || period == 0 {
		return want & busWide
	}
	return want&busWide | min(offset, busSyncOffset) | max(period, busSync40)
}
