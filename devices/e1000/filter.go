package e1000

import "github.com/sharevm/vmm/devices/nic"

const (
	addressEntries = 16
	tableMask      = 0xfff
	standardFrame  = 1522 // bytes with CRC and tag, without long packets
	crcLen         = 4
)

// accepts applies the receive filters (82574 datasheet, section 7.1.1; 317453, section 3.2.1).
func (d *Device) accepts(f *nic.Frame, tag uint16, tagged bool) bool {
	rctl := d.reg(regRCTL)
	if len(f.Bytes)+crcLen > standardFrame && rctl&rctlLong == 0 {
		return false
	}
	if tagged && rctl&rctlVLANFilter != 0 {
		id := uint64(tag & 0xfff)
		if d.reg(regVFTA+id>>5*4)>>(id&31)&1 == 0 {
			return false
		}
	}
	to := f.Destination()
	switch {
	case f.Broadcast():
		return rctl&(rctlBroadcast|rctlMultiAll) != 0 || d.matches(to)
	case f.Multicast():
		return rctl&rctlMultiAll != 0 || d.matches(to) || d.listed(to, rctl)
	}
	return rctl&rctlUnicastAll != 0 || d.matches(to)
}

// matches says whether an address is one of the exact ones.
func (d *Device) matches(to [6]byte) bool {
	low := uint32(to[0]) | uint32(to[1])<<8 | uint32(to[2])<<16 | uint32(to[3])<<24
	high := uint32(to[4]) | uint32(to[5])<<8 | rahValid
	for i := range uint64(addressEntries) {
		if d.reg(regRA+8*i) == low && d.reg(regRA+8*i+4)&(rahValid|0xffff) == high {
			return true
		}
	}
	return false
}

// listed says whether an address's bit in the multicast table is set; RCTL says which twelve bits of the address choose it.
func (d *Device) listed(to [6]byte, rctl uint32) bool {
	shift := [4]uint{4, 3, 2, 0}[rctl>>12&3]
	at := (uint64(to[4]) | uint64(to[5])<<8) >> shift & tableMask
	return d.reg(regMTA+at>>5*4)>>(at&31)&1 != 0
}
