package fusion

// The SAS domain: one narrow port for each SCSI ID, with the disk of that number directly at the other end.
const (
	numPhys          = maxTargets
	phyHandle        = 1           // device handle of the adapter's phy 0
	targetHandle     = 1 + numPhys // device handle of the device at phy 0
	enclosure        = 1
	rate3Gbit        = 0x09
	ratesAll         = 0x98 // 1.5 to 3 Gbit/s
	infoEndDevice    = 0x0001
	infoInitiator    = infoEndDevice | 0x0070 // SSP, STP and SMP
	infoTarget       = infoEndDevice | 0x0400 | 0x0800
	formNextHandle   = 0
	formBusTarget    = 1
	formHandle       = 2
	formShift        = 28
	noHandle         = 0xffff
	devicePresent    = 1 << 0
	deviceMapped     = 1 << 1
	mappingPersists  = 1 << 2
	ownSASAddressOUI = 0x5000c29 // VMware's
)

// address is the SAS address of the device at phy i.
func (d *Device) address(i int) uint64 {
	return ownSASAddressOUI<<36 | d.wwid<<4&0xfffffffff | uint64(i)
}

func (d *Device) sasIOUnitPage(number uint8) (page, uint16) {
	switch number {
	case 0:
		p := newExtPage(typeSASIOUnit, 0, 4, 0x10+16*numPhys)
		p.u8(0x0c, numPhys)
		for i := range numPhys {
			at := 0x10 + 16*i
			p.u8(at, uint8(i))
			p.u32(at+4, 0)
			if d.engine.Present(i) {
				p.u8(at+3, rate3Gbit)
				p.u32(at+4, infoInitiator)
				p.u16(at+8, uint16(targetHandle+i))
			}
			p.u16(at+10, uint16(phyHandle+i))
		}
		return p, iocSuccess
	case 1:
		p := newExtPage(typeSASIOUnit, 1, 7, 0x14+12*numPhys)
		p.u16(0x0a, 0)
		p.u8(0x10, numPhys)
		for i := range numPhys {
			at := 0x14 + 12*i
			p.u8(at, uint8(i))
			p.u8(at+3, ratesAll)
			p.u32(at+4, infoInitiator)
		}
		return p, iocSuccess
	case 2:
		p := newExtPage(typeSASIOUnit, 2, 6, 0x14)
		p.u8(0x08, maxTargets)
		p.u16(0x0c, maxTargets)
		p.u16(0x12, maxTargets)
		return p, iocSuccess
	case 3:
		return newExtPage(typeSASIOUnit, 3, 0, 0x2c), iocSuccess
	}
	return page{}, iocBadConfigPage
}

func (d *Device) sasPhyPage(number uint8, address uint32) (page, uint16) {
	if number > 1 {
		return page{}, iocBadConfigPage
	}
	p := newExtPage(typeSASPhy, number, 1-number, 0x24-8*int(number))
	i := int(address & 0xff)
	if address>>formShift > 1 || address&0xffff >= numPhys {
		return p, iocBadConfigPage
	}
	if number == 1 { // counters of errors, all zero
		return p, iocSuccess
	}
	p.u16(0x08, uint16(phyHandle+i))
	p.u8(0x1c, ratesAll)
	p.u8(0x1d, ratesAll)
	if d.engine.Present(i) {
		p.u64(0x0c, d.address(i))
		p.u16(0x14, uint16(targetHandle+i))
		p.u32(0x18, infoTarget)
		p.u32(0x20, rate3Gbit)
	}
	return p, iocSuccess
}

// sasDevicePage builds a page about a device or one of the adapter's own phys.
func (d *Device) sasDevicePage(number uint8, address uint32) (page, uint16) {
	sizes := [...]int{0x24, 0x30, 0x14}
	versions := [...]uint8{5, 0, 1}
	if int(number) >= len(sizes) {
		return page{}, iocBadConfigPage
	}
	p := newExtPage(typeSASDevice, number, versions[number], sizes[number])
	handle, ok := d.sasHandle(address)
	if !ok {
		return p, iocBadConfigPage
	}
	phy := handle - phyHandle
	own := phy < numPhys
	if !own {
		phy = handle - targetHandle
	}
	name := d.address(phy)
	if own {
		name = d.wwid
	}
	switch number {
	case 0:
		p.u16(0x08, uint16(phy))
		p.u16(0x0a, enclosure)
		p.u64(0x0c, name)
		p.u16(0x18, uint16(handle))
		p.u8(0x1a, uint8(phy))
		p.u8(0x16, uint8(phy))
		p.u8(0x22, uint8(phy))
		if own {
			p.u32(0x1c, infoInitiator)
			p.u16(0x20, devicePresent)
			break
		}
		p.u16(0x14, uint16(phyHandle+phy))
		p.u32(0x1c, infoTarget)
		p.u16(0x20, devicePresent|deviceMapped|mappingPersists)
	case 1:
		p.u64(0x0c, name)
		p.u16(0x18, uint16(handle))
		p.u8(0x1a, uint8(phy))
	case 2:
		p.u64(0x08, name)
	}
	return p, iocSuccess
}

// sasHandle finds the device that a page address names.
func (d *Device) sasHandle(address uint32) (handle int, ok bool) {
	exists := func(h int) bool {
		return h >= phyHandle && h < phyHandle+numPhys || h >= targetHandle && d.engine.Present(h-targetHandle)
	}
	switch address >> formShift {
	case formNextHandle:
		first := int(address & 0xffff)
		if first == noHandle {
			first = 0
		}
		for h := first + 1; h < targetHandle+numPhys; h++ {
			if exists(h) {
				return h, true
			}
		}
		return 0, false
	case formBusTarget:
		id := int(address & 0xff)
		return targetHandle + id, address>>8&0xff == 0 && d.engine.Present(id)
	case formHandle:
		h := int(address & 0xffff)
		return h, exists(h)
	}
	return 0, false
}

// sasEnclosurePage builds the page of the one enclosure, the adapter's backplane.
func (d *Device) sasEnclosurePage(number uint8, address uint32) (page, uint16) {
	if number != 0 {
		return page{}, iocBadConfigPage
	}
	p := newExtPage(typeSASEnclosure, 0, 1, 0x28)
	handle := address & 0xffff
	switch address >> formShift {
	case 0:
		if handle != noHandle && handle >= enclosure {
			return p, iocBadConfigPage
		}
	case 1:
		if handle != enclosure {
			return p, iocBadConfigPage
		}
	default:
		return p, iocBadConfigPage
	}
	const generalPurposeIO, startValid = 0x5, 0x10
	p.u64(0x0c, d.wwid)
	p.u16(0x14, generalPurposeIO|startValid)
	p.u16(0x16, enclosure)
	p.u16(0x18, maxTargets)
	return p, iocSuccess
}
