package nvme

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	serialSize = 20
	modelSize  = 40
)

// What Identify is asked for (section 5.15.1).
const (
	identifyNamespace   = 0x00
	identifyController  = 0x01
	identifyActive      = 0x02
	identifyDescriptors = 0x03
)

// identify carries out Identify.
func (d *Controller) identify(c *command, to *pages) status {
	var page [pageSize]byte
	switch c.dw[10] & 0xff {
	case identifyNamespace:
		if s := d.describeNamespace(c.namespace, page[:]); s != success {
			return s
		}
	case identifyController:
		d.describeController(page[:])
	case identifyActive:
		if c.namespace >= allNamespaces-1 {
			return invalidNamespace
		}
		d.listNamespaces(c.namespace, page[:])
	case identifyDescriptors:
		ns := d.namespace(c.namespace)
		if ns == nil {
			return invalidNamespace
		}
		const uuidType, uuidSize = 3, 16
		page[0], page[1] = uuidType, uuidSize
		uuid := d.namespaceUUID(ns.ID)
		copy(page[4:], uuid[:])
	default:
		return invalidField
	}
	if s := to.collect(c.prp1, c.prp2, pageSize); s != success {
		return s
	}
	to.store(page[:])
	return success
}

// describeController lays out the Identify Controller structure (figure 247).
func (d *Controller) describeController(p []byte) {
	le := binary.LittleEndian
	text := func(p []byte, s string) {
		for i := range p {
			p[i] = ' '
		}
		copy(p, s)
	}
	le.PutUint16(p[0:], Identity.Vendor)
	le.PutUint16(p[2:], Identity.SubsystemVendor)
	text(p[4:4+serialSize], d.config.Serial)
	text(p[24:24+modelSize], d.config.Model)
	text(p[64:72], firmwareRevision)
	copy(p[73:], []byte{0x56, 0x50, 0x00}) // VMware's OUI 00-50-56
	p[77] = mdts
	le.PutUint32(p[80:], version)
	p[111] = 1                  // an I/O controller
	le.PutUint16(p[256:], 1<<8) // OACS: Doorbell Buffer Config
	p[258] = 3                  // aborts at once, zero based
	p[259] = maxEvents - 1      // asynchronous event requests
	p[260] = 1<<1 | 1           // one firmware slot, read only
	p[261] = 1 << 2             // Get Log Page with offsets
	p[262] = errorEntries - 1   // entries of the error log
	le.PutUint16(p[266:], warningTemperature)
	le.PutUint16(p[268:], criticalTemperature)
	p[512], p[513] = 0x66, 0x44 // sizes of queue entries, log2
	le.PutUint32(p[516:], uint32(len(d.namespaces)))
	le.PutUint16(p[520:], 1<<2|1<<3) // ONCS: Dataset Management, Write Zeroes
	const flushAll = 3 << 1
	p[525] = flushAll
	if d.cached {
		p[525] |= 1
	}
	copy(p[768:1024], d.subsystem())
	const state = 2048            // the only power state
	le.PutUint16(p[state:], 2500) // 25 W
}

// subsystem is the NVM subsystem's qualified name.
func (d *Controller) subsystem() string {
	u := d.config.UUID
	return fmt.Sprintf("nqn.2014-08.org.nvmexpress:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// namespaceUUID derives a namespace's name from that of the subsystem (RFC 9562, version 8).
func (d *Controller) namespaceUUID(id uint32) (u [16]byte) {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint32(d.config.UUID[:], id))
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// describeNamespace lays out the Identify Namespace structure (figure 245): of all zeroes where there is no such namespace now.
func (d *Controller) describeNamespace(id uint32, p []byte) status {
	le := binary.LittleEndian
	if id == allNamespaces { // what all have in common
		p[130] = 9
		return success
	}
	if id == 0 || id > uint32(len(d.namespaces)) {
		return invalidNamespace
	}
	ns := d.namespaces[id-1]
	if ns == nil {
		return success
	}
	for _, off := range []int{0, 8, 16} { // size, capacity, use
		le.PutUint64(p[off:], ns.blocks())
	}
	const thin, preferred = 1, 1 << 4
	p[24] = thin | preferred
	granule := uint16(max(pageSize>>ns.shift, 1)) - 1
	for _, off := range []int{64, 66, 68, 70, 72} { // preferred granularity and alignment of writes and deallocations, best write size
		le.PutUint16(p[off:], granule)
	}
	if ns.ReadOnly {
		p[99] = 1 // write protected
	}
	p[130] = uint8(ns.shift) // the only block format: log2 of its size, no metadata
	return success
}

// listNamespaces lays out the list of namespaces with an ID above after.
func (d *Controller) listNamespaces(after uint32, p []byte) {
	for _, ns := range d.namespaces {
		if ns != nil && ns.ID > after {
			binary.LittleEndian.PutUint32(p, ns.ID)
			p = p[4:]
		}
	}
}
