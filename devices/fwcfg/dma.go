package fwcfg

import "encoding/binary"

// The structure of a DMA transfer, in big endian: control, length and address.
const (
	dmaSize    = 16
	offLength  = 4
	offAddress = 8
)

// Bits of its control field. The upper half is the key to select.
const (
	dmaError  = 1 << 0
	dmaRead   = 1 << 1
	dmaSkip   = 1 << 2
	dmaSelect = 1 << 3
	dmaWrite  = 1 << 4
)

// maxTransfer bounds what one access to a port can have the device copy, in bytes. It is far above any item.
const maxTransfer = 64 << 20

// transfer carries out the DMA that is described at gpa.
func (d *Device) transfer(gpa uint64) {
	d.high = 0
	var request [dmaSize]byte
	if d.mem.Read(gpa, request[:]) != nil {
		return // there is nowhere to say so
	}
	control := binary.BigEndian.Uint32(request[:])
	length := binary.BigEndian.Uint32(request[offLength:])
	address := binary.BigEndian.Uint64(request[offAddress:])
	if control&dmaSelect != 0 {
		d.choose(uint16(control >> 16))
	}
	result := uint32(0)
	switch {
	case control&dmaRead != 0:
		if !d.dmaRead(address, length) {
			result = dmaError
		}
	case control&dmaWrite != 0:
		if !d.dmaWrite(address, length) {
			result = dmaError
		}
	case control&dmaSkip != 0:
		d.skip(length)
	}
	var done [4]byte
	binary.BigEndian.PutUint32(done[:], result)
	_ = d.mem.Write(gpa, done[:]) // it was read from there
}

func (d *Device) dmaRead(address uint64, length uint32) bool {
	if length > maxTransfer {
		return false
	}
	to, err := d.mem.Slice(address, uint64(length))
	if err != nil {
		return false
	}
	d.take(to)
	return true
}

func (d *Device) dmaWrite(address uint64, length uint32) bool {
	f, to := d.items[d.selected], d.rest()
	if f == nil || f.written == nil || uint64(length) > uint64(len(to)) {
		return false
	}
	if d.mem.Read(address, to[:length]) != nil {
		return false
	}
	d.skip(length)
	f.written(f.data)
	return true
}
