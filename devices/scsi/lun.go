package scsi

// NoLUN is a logical unit that never exists.
const NoLUN = 1<<64 - 1

// LUN is the number in the 8 bytes of a logical unit number of a single level (SAM-5, section 4.7), or NoLUN for one of another form.
func LUN(p []byte) uint64 {
	if p[0]&0xc0 > 0x40 || p[2]|p[3]|p[4]|p[5]|p[6]|p[7] != 0 {
		return NoLUN
	}
	return uint64(p[0]&0x3f)<<8 | uint64(p[1])
}
