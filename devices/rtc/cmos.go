package rtc

// Bytes of CMOS memory that firmware reads.
const (
	cmosShutdown    = 0x0F // why the processor was reset
	cmosEquipment   = 0x14
	cmosBaseMemory  = 0x15 // KiB, two bytes
	cmosExtended    = 0x17 // KiB above 1 MiB, two bytes
	cmosSumFirst    = 0x10
	cmosSumLast     = 0x2D
	cmosSum         = 0x2E // high byte first
	cmosExtended2   = 0x30 // as cmosExtended
	cmosAbove16M    = 0x34 // 64 KiB units above 16 MiB, two bytes
	cmosAbove4G     = 0x5B // 64 KiB units, three bytes
	cmosCPUs        = 0x5F // less one
	equipmentNoDisk = 0x06 // FPU and mouse port, no diskette drive
	baseMemory      = 640  // KiB
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// fillCMOS describes the memory to firmware.
func (r *RTC) fillCMOS(c Config) {
	put := func(at int, v uint64, bytes int) {
		for i := range bytes {
			r.ram[at+i] = uint8(v >> (8 * i))
		}
	}
	above := func(floor, unit, limit uint64) uint64 {
		if c.LowMemory <= floor {
			return 0
		}
		return min((c.LowMemory-floor)/unit, limit)
	}
	r.ram[cmosEquipment] = equipmentNoDisk
	put(cmosBaseMemory, baseMemory, 2)
	extended := above(mib, kib, 0xFFFF)
	put(cmosExtended, extended, 2)
	put(cmosExtended2, extended, 2)
	put(cmosAbove16M, above(16*mib, 64*kib, 0xFFFF), 2)
	put(cmosAbove4G, min(c.HighMemory/(64*kib), 0xFFFFFF), 3)
	r.ram[cmosCPUs] = uint8(min(max(c.CPUs-1, 0), 0xFF))

	var sum uint16
	for _, v := range r.ram[cmosSumFirst : cmosSumLast+1] {
		sum += uint16(v)
	}
	r.ram[cmosSum], r.ram[cmosSum+1] = uint8(sum>>8), uint8(sum)
}

// SetShutdownStatus has firmware find in CMOS memory why it runs.
func (r *RTC) SetShutdownStatus(v uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ram[cmosShutdown] = v
}
