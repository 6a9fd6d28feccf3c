package fusion

// Actions of a configuration request (mpi_cnfg.h).
const (
	actionHeader       = 0
	actionReadCurrent  = 1
	actionWriteCurrent = 2
	actionDefault      = 3
	actionWriteNVRAM   = 4
	actionReadDefault  = 5
	actionReadNVRAM    = 6
)

// Types of configuration pages, and attributes in the upper half of the same byte.
const (
	typeIOUnit        = 0x00
	typeIOC           = 0x01
	typeBIOS          = 0x02
	typeSCSIPort      = 0x03
	typeSCSIDevice    = 0x04
	typeManufacturing = 0x09
	typeExtended      = 0x0f
	typeMask          = 0x0f
	attrChangeable    = 0x10
	attrPersistent    = 0x20

	typeSASIOUnit    = 0x10
	typeSASExpander  = 0x11
	typeSASDevice    = 0x12
	typeSASPhy       = 0x13
	typeSASEnclosure = 0x15
)

// Layout of a configuration request and its reply.
const (
	offAction      = 0x00
	offExtLength   = 0x04
	offExtType     = 0x06
	offHeader      = 0x14
	offPageAddress = 0x18
	offPageSGL     = 0x1c
	configReply    = 24
)

// page is a configuration page with its header, built anew for each request: nothing here is fast.
type page struct {
	data []byte
	ext  uint8 // extended type, 0 for an ordinary page
}

// newPage returns an ordinary page of so many bytes, header included.
func newPage(kind, number, version uint8, size int) page {
	p := page{data: make([]byte, size)}
	p.data[0], p.data[1], p.data[2], p.data[3] = version, uint8(size/4), number, kind
	return p
}

// newExtPage returns an extended page of so many bytes, header included.
func newExtPage(kind, number, version uint8, size int) page {
	p := page{data: make([]byte, (size+3)&^3), ext: kind}
	p.data[0], p.data[2], p.data[3], p.data[6] = version, number, typeExtended, kind
	le.PutUint16(p.data[4:], uint16(len(p.data)/4))
	return p
}

func (p page) u8(off int, v uint8)    { p.data[off] = v }
func (p page) u16(off int, v uint16)  { le.PutUint16(p.data[off:], v) }
func (p page) u32(off int, v uint32)  { le.PutUint32(p.data[off:], v) }
func (p page) u64(off int, v uint64)  { le.PutUint64(p.data[off:], v) }
func (p page) text(off int, s string) { copy(p.data[off:], s) }

// config serves a configuration request.
func (d *Device) config(m *message) []byte {
	reply := m.reply(configReply, iocSuccess)
	reply[0] = m.data[offAction]
	copy(reply[4:7], m.data[4:7])
	copy(reply[offHeader:], m.data[offHeader:offHeader+4])
	fail := func(status uint16) []byte {
		le.PutUint16(reply[14:], status)
		return reply
	}
	kind, number := m.data[offHeader+3]&typeMask, m.data[offHeader+2]
	address := le.Uint32(m.data[offPageAddress:])
	var p page
	var status uint16
	if kind == typeExtended {
		p, status = d.extendedPage(m.data[offExtType], number, address)
	} else {
		p, status = d.page(kind, number, address)
	}
	action := m.data[offAction]
	if status != iocSuccess && (action != actionHeader || p.data == nil) {
		return fail(status)
	}
	copy(reply[offHeader:offHeader+4], p.data)
	if p.ext != 0 {
		copy(reply[4:7], p.data[4:7])
	}
	switch action {
	case actionHeader, actionDefault:
	case actionReadCurrent, actionReadDefault, actionReadNVRAM:
		e, err := element(m.data[:], offPageSGL)
		if err != nil {
			return fail(iocInvalidSGL)
		}
		if n := min(len(p.data), int(e.length)); n > 0 && d.mem.Write(e.address, p.data[:n]) != nil {
			return fail(iocInvalidSGL)
		}
	case actionWriteCurrent, actionWriteNVRAM:
		return fail(d.writePage(kind, number, address, m, p))
	default:
		return fail(iocBadConfigAction)
	}
	return reply
}

// writePage takes the one page that has something to set: what a parallel device's bus should run at.
func (d *Device) writePage(kind, number uint8, address uint32, m *message, p page) uint16 {
	e, err := element(m.data[:], offPageSGL)
	if err != nil {
		return iocInvalidSGL
	}
	in := make([]byte, len(p.data))
	if n := min(len(in), int(e.length)); n < 8 || d.mem.Read(e.address, in[:n]) != nil {
		return iocInvalidSGL
	}
	if p.data[3]&attrChangeable == 0 {
		return iocCantCommit
	}
	if kind == typeSCSIDevice && number == 1 {
		d.requested[address&0xff] = le.Uint32(in[4:]) & busCapabilities
	}
	return iocSuccess
}

// page builds an ordinary page.
func (d *Device) page(kind, number uint8, address uint32) (page, uint16) {
	switch kind {
	case typeManufacturing:
		return d.manufacturingPage(number)
	case typeIOUnit:
		return d.ioUnitPage(number)
	case typeIOC:
		return d.iocPage(number)
	case typeBIOS:
		return d.biosPage(number)
	case typeSCSIPort:
		if d.model == LSI53C1030 {
			return d.scsiPortPage(number, address)
		}
	case typeSCSIDevice:
		if d.model == LSI53C1030 {
			return d.scsiDevicePage(number, address)
		}
	}
	return page{}, iocBadConfigType
}

// extendedPage builds an extended page, of which only SAS adapters have any.
func (d *Device) extendedPage(kind, number uint8, address uint32) (page, uint16) {
	if d.model != SAS1068 {
		return page{}, iocBadConfigType
	}
	switch kind {
	case typeSASIOUnit:
		return d.sasIOUnitPage(number)
	case typeSASPhy:
		return d.sasPhyPage(number, address)
	case typeSASDevice:
		return d.sasDevicePage(number, address)
	case typeSASEnclosure:
		return d.sasEnclosurePage(number, address)
	case typeSASExpander: // there is none
		if number > 1 {
			return page{}, iocBadConfigPage
		}
		return newExtPage(kind, number, 3-2*number, 0x24+4*int(number)), iocBadConfigPage
	}
	return page{}, iocBadConfigType
}

func (d *Device) manufacturingPage(number uint8) (page, uint16) {
	const kind = typeManufacturing | attrPersistent
	switch number {
	case 0:
		p := newPage(kind, 0, 0, 0x4c)
		p.text(0x04, d.traits.chip)
		p.text(0x14, "B0")
		p.text(0x1c, "VMware Virtual")
		p.text(0x2c, "SCSI Adapter")
		return p, iocSuccess
	case 1:
		return newPage(kind, 1, 0, 4+256), iocSuccess
	case 2, 3:
		p := newPage(kind, number, 0, 0x0c)
		p.u16(4, d.traits.identity.Device)
		p.u8(6, d.traits.identity.Revision)
		return p, iocSuccess
	case 4:
		return newPage(kind, 4, 5, 0x70), iocSuccess
	case 5:
		p := newPage(kind, 5, 2, 0x20)
		p.u64(4, d.wwid)
		return p, iocSuccess
	case 6, 8, 9, 10:
		return newPage(kind, number, 0, 8), iocSuccess
	case 7:
		p := newPage(kind, 7, 0, 0x24+28*maxTargets)
		p.u8(0x20, maxTargets)
		for i := range maxTargets {
			p.u32(0x24+28*i, 1)              // pinout unknown
			p.u8(0x24+28*i+0x14, 2)          // internal
			p.u16(0x24+28*i+0x16, uint16(i)) // slot
		}
		return p, iocSuccess
	}
	return page{}, iocBadConfigPage
}

func (d *Device) ioUnitPage(number uint8) (page, uint16) {
	switch number {
	case 0:
		p := newPage(typeIOUnit, 0, 0, 0x0c)
		p.u64(4, d.wwid)
		return p, iocSuccess
	case 1:
		p := newPage(typeIOUnit, 1, 2, 0x08)
		p.u32(4, 0x41) // a single function, no RAID
		return p, iocSuccess
	case 2:
		return newPage(typeIOUnit, 2, 2, 0x20), iocSuccess
	case 3:
		return newPage(typeIOUnit, 3, 1, 0x0c), iocSuccess
	}
	return page{}, iocBadConfigPage
}

func (d *Device) iocPage(number uint8) (page, uint16) {
	switch number {
	case 0:
		id := d.traits.identity
		p := newPage(typeIOC, 0, 1, 0x1c)
		p.u16(0x0c, id.Vendor)
		p.u16(0x0e, id.Device)
		p.u8(0x10, id.Revision)
		p.u32(0x14, id.Class)
		p.u16(0x18, id.SubsystemVendor)
		p.u16(0x1a, id.Subsystem)
		return p, iocSuccess
	case 1:
		p := newPage(typeIOC, 1, 3, 0x10)
		p.u8(0x0d, 0xff) // the PCI slot's number is not known
		return p, iocSuccess
	case 2:
		return newPage(typeIOC, 2, 4, 0x0c), iocSuccess
	case 3:
		return newPage(typeIOC, 3, 0, 0x08), iocSuccess
	case 4:
		return newPage(typeIOC, 4, 0, 0x08), iocSuccess
	case 5:
		return newPage(typeIOC, 5, 0, 0x0c), iocSuccess
	case 6:
		return newPage(typeIOC, 6, 1, 0x3c), iocSuccess
	}
	return page{}, iocBadConfigPage
}

func (d *Device) biosPage(number uint8) (page, uint16) {
	switch number {
	case 1:
		p := newPage(typeBIOS, 1, 3, 0x20)
		p.u32(0x08, 0x30) // for firmware and operating systems
		return p, iocSuccess
	case 2:
		return newPage(typeBIOS, 2, 2, 0x64), iocSuccess
	}
	return page{}, iocBadConfigPage
}
