package ahci

import "encoding/binary"

// registers is the BAR.
type registers struct{ k *Controller }

// Read implements bus.Device. Any part of registers can be read.
func (d registers) Read(off uint64, p []byte) {
	for len(p) > 0 {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], d.k.read(int(off&^3)))
		n := copy(p, b[off&3:])
		off, p = off+uint64(n), p[n:]
	}
}

// Write implements bus.Device. What a narrow write leaves out of a register stays, or for bits that are acknowledged or set by ones is zero.
func (d registers) Write(off uint64, p []byte) {
	for len(p) > 0 {
		at := int(off &^ 3)
		var b [4]byte
		if off&3 != 0 || len(p) < 4 {
			if !byOnes(at) {
				binary.LittleEndian.PutUint32(b[:], d.k.read(at))
			}
		}
		n := copy(b[off&3:], p)
		d.k.write(at, binary.LittleEndian.Uint32(b[:]))
		off, p = off+uint64(n), p[n:]
	}
}

// byOnes says whether ones written to the register at off are what counts.
func byOnes(off int) bool {
	if off < portsAt {
		return off == hostStatus
	}
	switch (off - portsAt) % portSize {
	case portStatus, portError, portActive, portIssue:
		return true
	}
	return false
}

func (k *Controller) read(off int) uint32 {
	if off >= portsAt {
		if i := (off - portsAt) / portSize; i < len(k.ports) {
			return k.ports[i].read((off - portsAt) % portSize)
		}
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch off {
	case hostCap:
		return uint32(len(k.ports)-1) | capSlots | capOnly | capSpeed | capClear | capQueues | capWide
	case hostControl:
		v := uint32(controlEnable)
		if k.interrupt {
			v |= controlInterrupt
		}
		if k.resetting > 0 {
			v |= controlReset
		}
		return v
	case hostStatus:
		return k.status
	case hostPorts:
		return uint32(1<<len(k.ports) - 1)
	case hostVersion:
		return version131
	}
	return 0
}

func (k *Controller) write(off int, v uint32) {
	switch {
	case off >= portsAt:
		if i := (off - portsAt) / portSize; i < len(k.ports) {
			k.ports[i].write((off-portsAt)%portSize, v)
		}
	case off == hostControl:
		k.control(v)
	case off == hostStatus:
		k.acknowledge(v)
	}
}
