package fwcfg

import "encoding/binary"

// Offsets of the ports from Port.
const (
	offSelect = 0 // 16 bits, written
	offData   = 1 // 8 bits, read
	offDMA    = 4 // 64 bits, big endian
	offLow    = offDMA + 4
)

// dmaSignature is what the DMA address reads as.
const dmaSignature = "QEMU CFG"

// Read implements bus.Device.
func (d *Device) Read(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		switch at := offset + uint64(i); {
		case at == offData:
			d.take(p[i : i+1])
		case at >= offDMA:
			p[i] = dmaSignature[(at-offDMA)%8]
		default:
			p[i] = 0
		}
	}
}

// Write implements bus.Device.
func (d *Device) Write(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case offset == offSelect && len(p) == 2:
		d.choose(binary.LittleEndian.Uint16(p))
	case offset == offDMA && len(p) == 4:
		d.high = binary.BigEndian.Uint32(p)
	case offset == offLow && len(p) == 4:
		d.transfer(uint64(d.high)<<32 | uint64(binary.BigEndian.Uint32(p)))
	case offset == offDMA && len(p) == 8:
		d.transfer(binary.BigEndian.Uint64(p))
	}
}
