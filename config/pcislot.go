package config

// PCISlot is a slot in VMware's numbering (pciSlotNumber), which packs a place behind a bridge into one number: bits 0-4
// are the device number on the bus, bits 5-9 the bridge (0 is the root bus, n+1 is pciBridge n), bits 10-12 the function
// of that bridge. So 17 is device 17 on the root bus, 33 device 1 behind pciBridge0, 192 device 0 behind pciBridge5 and
// 1184 device 0 behind function 1 of pciBridge4.
type PCISlot int

// NoSlot is a device without an assigned slot: the board chooses one.
const NoSlot PCISlot = -1

// Device is the device number on its bus, 0..31.
func (s PCISlot) Device() int { return int(s) & 31 }

// Bridge is the pciBridge that the slot lies behind and the function of that bridge, or ok = false on the root bus.
func (s PCISlot) Bridge() (index, function int, ok bool) {
	n := int(s) >> 5 & 31
	return n - 1, int(s) >> 10 & 7, s >= 0 && n != 0
}

// Valid reports whether the number is in range or NoSlot.
func (s PCISlot) Valid() bool { return s == NoSlot || s >= 0 && s < 1<<13 }
