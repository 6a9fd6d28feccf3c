package smbios

import (
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
)

// dimmSize is the largest memory device reported: what RAM there is is shared out among devices of this size.
const dimmSize = 16 * layout.GiB

// Values that several structures use.
const (
	other   = 1
	unknown = 2
	none    = 3 // of error correction and of the chassis' security status
)

// structures are all structures, in order.
func structures(c *Config) []*structure {
	all := []*structure{bios(c), system(c), baseboard(c), chassis(c)}
	for i := range c.Sockets {
		all = append(all, processor(c, i))
	}
	devices := int((c.Layout.RAM + dimmSize - 1) / dimmSize)
	all = append(all, memoryArray(c, devices))
	left := c.Layout.RAM
	for i := range devices {
		size := min(left, dimmSize)
		all = append(all, memoryDevice(i, size))
		left -= size
	}
	for i, w := range c.Layout.RAMWindows() {
		all = append(all, addressRange(i, w, devices))
	}
	return append(all, bootStatus(), newStructure(127, handleEnd))
}

// bios is type 0 (section 7.1).
func bios(c *Config) *structure {
	const (
		segment            = 0xF000
		characteristicsNot = 1 << 3 // supported
		extensionACPI      = 1 << 0
		extensionVM        = 1 << 4 // of the second byte
		noRelease          = 0xFF
	)
	s := newStructure(0, handleBIOS)
	s.text(c.BIOSVendor)
	s.text(c.BIOSVersion)
	s.word(segment)
	s.text(c.BIOSDate)
	s.byte(0) // ROM of 64 KiB
	s.qword(characteristicsNot)
	s.byte(extensionACPI, extensionVM)
	s.byte(noRelease, noRelease, noRelease, noRelease) // of the BIOS and of the embedded controller
	s.word(0)                                          // extended ROM size
	return s
}

// system is type 1 (section 7.2).
func system(c *Config) *structure {
	const wakePowerSwitch = 6
	s := newStructure(1, handleSystem)
	s.text(c.Manufacturer)
	s.text(c.Product)
	s.text(c.Version)
	s.text(c.Serial)
	s.byte(c.UUID[:]...)
	s.byte(wakePowerSwitch)
	s.text(c.SKU)
	s.text(c.Family)
	return s
}

// baseboard is type 2 (section 7.3).
func baseboard(c *Config) *structure {
	const (
		hosting     = 1 << 0
		motherboard = 0x0A
	)
	s := newStructure(2, handleBoard)
	s.text(c.BoardManufacturer)
	s.text(c.BoardProduct)
	s.byte(0, 0, 0) // version, serial number, asset tag
	s.byte(hosting)
	s.byte(0) // location
	s.word(handleChassis)
	s.byte(motherboard, 0) // no contained objects
	return s
}

// chassis is type 3 (section 7.4).
func chassis(c *Config) *structure {
	const (
		safe      = 3 // state of boot, power supply and temperature
		undefined = 0
	)
	s := newStructure(3, handleChassis)
	s.text(c.Manufacturer)
	s.byte(other, 0, 0) // kind, version, serial number
	s.text(c.AssetTag)
	s.byte(safe, safe, safe, none)
	s.dword(0)                            // OEM
	s.byte(undefined, undefined, 0, 0, 0) // height, power cords, contained elements and their size, SKU
	return s
}

// processor is type 4 (section 7.5).
func processor(c *Config, socket int) *structure {
	const (
		central       = 3
		family        = 0xFE // see the second family field
		family2       = 0x01 // other
		populated     = 0x41 // and enabled
		upgradeOther  = 1
		capable64     = 1 << 2
		capableMulti  = 1 << 3
		capableVirt   = 1 << 6
		noCacheHandle = 0xFFFF
	)
	s := newStructure(4, uint16(handleProcessor+socket))
	s.text(fmt.Sprintf("CPU %d", socket))
	s.byte(central, family)
	s.text(c.CPUVendor)
	s.qword(0) // CPUID signature: the guest has the instruction
	s.text(c.CPUModel)
	s.byte(0) // voltage
	s.word(0) // external clock,
	s.word(0) // maximum and
	s.word(0) // current speed: unknown
	s.byte(populated, upgradeOther)
	s.word(noCacheHandle)
	s.word(noCacheHandle)
	s.word(noCacheHandle)
	s.byte(0, 0, 0) // serial number, asset tag, part number
	cores := uint8(min(c.CoresPerSocket, 0xFF))
	s.byte(cores, cores, cores) // cores, enabled ones, threads
	characteristics := uint16(capable64 | capableVirt)
	if c.CoresPerSocket > 1 {
		characteristics |= capableMulti
	}
	s.word(characteristics)
	s.word(family2)
	s.word(uint16(c.CoresPerSocket)) // the same again, for more than 255
	s.word(uint16(c.CoresPerSocket))
	s.word(uint16(c.CoresPerSocket))
	return s
}

// memoryArray is type 16 (section 7.17).
func memoryArray(c *Config, devices int) *structure {
	const (
		onMotherboard = 3
		systemMemory  = 3
		seeExtended   = 0x80000000 // KiB
	)
	s := newStructure(16, handleArray)
	s.byte(onMotherboard, systemMemory, none)
	kib := c.Layout.RAM / layout.KiB
	extended := uint64(0)
	if kib >= seeExtended {
		kib, extended = seeExtended, c.Layout.RAM
	}
	s.dword(uint32(kib))
	s.word(noHandle)
	s.word(uint16(devices))
	s.qword(extended)
	return s
}

// memoryDevice is type 17 (section 7.18).
func memoryDevice(n int, size uint64) *structure {
	const (
		dimm        = 9
		ram         = 7
		seeExtended = 0x7FFF // MiB
	)
	s := newStructure(17, uint16(handleMemory+n))
	s.word(handleArray)
	s.word(noHandle)
	s.word(0xFFFF) // total and
	s.word(0xFFFF) // data width: unknown
	mib := size / layout.MiB
	extended := uint32(0)
	if mib >= seeExtended {
		mib, extended = seeExtended, uint32(mib)
	}
	s.word(uint16(mib))
	s.byte(dimm, 0) // not part of a set
	s.text(fmt.Sprintf("DIMM %d", n))
	s.byte(0, ram) // bank locator
	s.word(1 << unknown)
	s.word(0)             // speed
	s.byte(0, 0, 0, 0, 0) // manufacturer, serial number, asset tag, part number, attributes
	s.dword(extended)
	s.word(0) // configured speed
	s.word(0) // voltages: minimum,
	s.word(0) // maximum and
	s.word(0) // configured
	return s
}

// addressRange is type 19 (section 7.20).
func addressRange(n int, w layout.Window, devices int) *structure {
	s := newStructure(19, uint16(handleRange+n))
	s.dword(uint32(w.Base / layout.KiB))
	s.dword(uint32(w.End()/layout.KiB - 1))
	s.word(handleArray)
	s.byte(uint8(min(devices, 0xFF))) // partition width
	s.qword(0)                        // the extended addresses are for 4 TiB and more
	s.qword(0)
	return s
}

// bootStatus is type 32 (section 7.33): no error.
func bootStatus() *structure {
	s := newStructure(32, handleBoot)
	s.byte(0, 0, 0, 0, 0, 0, 0)
	return s
}
