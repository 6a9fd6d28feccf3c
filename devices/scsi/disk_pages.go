package scsi

import "encoding/binary"

func (d *Disk) inquire(c *Command) {
	d.inquiry(c, []byte{pageSupported, pageSerial, pageDevice, pageLimits, pageCharacter, pageProvision}, d.page)
}

// page is a vital product data page of block devices (SBC-3, section 6.6).
func (d *Disk) page(code uint8) []byte {
	be, size := binary.BigEndian, uint32(d.blockSize)
	switch code {
	case pageLimits:
		p := make([]byte, 60)
		p[0] = 1                              // WRITE SAME of zero blocks is refused
		be.PutUint16(p[2:], 1<<d.physicalExp) // optimal transfer granularity
		be.PutUint32(p[4:], maxTransfer/size)
		if !d.readOnly {
			be.PutUint32(p[16:], maxUnmap/size)
			be.PutUint32(p[20:], maxUnmapRanges)
			be.PutUint32(p[24:], 1<<d.physicalExp)
			be.PutUint64(p[32:], uint64(maxZeroes/size))
		}
		return p
	case pageCharacter:
		p := make([]byte, 60)
		p[1] = 1 // does not rotate
		return p
	case pageProvision:
		if d.readOnly {
			return make([]byte, 4)
		}
		return []byte{0, 0xe0, 2, 0} // UNMAP and both WRITE SAME; thin provisioned
	}
	return nil
}

const (
	cacheWCE     = 0x04
	devSpecFUA   = 0x10 // DPO and FUA are understood
	devSpecWrite = 0x80 // write protected
)

// modes are the disk's mode pages.
func (d *Disk) modes() modeData {
	m := modeData{specific: devSpecFUA, descriptor: make([]byte, 8)}
	if d.readOnly {
		m.specific |= devSpecWrite
	}
	if n := d.blocks.Load(); n < 1<<24 {
		binary.BigEndian.PutUint32(m.descriptor, uint32(n))
	}
	m.descriptor[6], m.descriptor[7] = uint8(d.blockSize>>8), uint8(d.blockSize)
	recovery := []byte{0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // reallocates by itself
	cache, initial, may := make([]byte, 18), make([]byte, 18), make([]byte, 18)
	if !d.writeThrough {
		initial[0], may[0] = cacheWCE, cacheWCE
	}
	if d.cached.Load() {
		cache[0] = cacheWCE
	}
	control := []byte{0, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0} // reorders freely
	exceptions := make([]byte, 10)
	m.pages = []modePage{
		{modeErrorRecovery, recovery, recovery, nil},
		{modeCaching, cache, initial, may},
		{modeControl, control, control, nil},
		{modeExceptions, exceptions, exceptions, nil},
	}
	return m
}

func (d *Disk) modeSense(c *Command) { modeSense(c, d.modes()) }

// modeSelect takes the guest's choice of write cache. What is in the cache becomes durable when that goes.
func (d *Disk) modeSelect(c *Command) {
	modeSelect(c, d.modes(), func(code uint8, body []byte) {
		if code != modeCaching {
			return
		}
		cached := body[0]&cacheWCE != 0
		d.cached.Store(cached)
		if cached {
			return
		}
		if err := d.image.Flush(); err != nil {
			d.fault(c, err, 0, senseWriteFault)
		}
	})
}
