package acpi

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/layout"
)

// Offsets in the FADT (ACPI 6.5, table 5.9).
const (
	fadtSize         = 276
	fadtFACS         = 36
	fadtDSDT         = 40
	fadtProfile      = 45
	fadtSCI          = 46
	fadtSMICommand   = 48
	fadtACPIEnable   = 52
	fadtACPIDisable  = 53
	fadtPM1aEvent    = 56
	fadtPM1aControl  = 64
	fadtPMTimer      = 76
	fadtGPE0         = 80
	fadtPM1EventLen  = 88
	fadtPM1CtrlLen   = 89
	fadtPMTimerLen   = 91
	fadtGPE0Len      = 92
	fadtC2Latency    = 96
	fadtC3Latency    = 98
	fadtCentury      = 108
	fadtBootArch     = 109
	fadtFlags        = 112
	fadtReset        = 116
	fadtResetValue   = 128
	fadtMinor        = 131
	fadtXDSDT        = 140
	fadtXPM1aEvent   = 148
	fadtXPM1aControl = 172
	fadtXPMTimer     = 208
	fadtXGPE0        = 220
)

// IA-PC boot architecture flags (section 5.2.9.3).
const (
	bootArchLegacy = 1 << 0
	bootArch8042   = 1 << 1
	bootArchNoVGA  = 1 << 2
	bootArchNoASPM = 1 << 4
	bootArchNoRTC  = 1 << 5
)

// Fixed feature flags (table 5.10).
const (
	flagWBINVD       = 1 << 0
	flagProcC1       = 1 << 2
	flagNoSleep      = 1 << 5 // no fixed sleep button; the fixed power button is there
	flagNoFixedRTC   = 1 << 6
	flagTimer32      = 1 << 8
	flagReset        = 1 << 10
	flagPlatformTime = 1 << 15 // the PM timer counts at a fixed rate
)

const (
	profileDesktop = 1
	minorVersion   = 4
	centuryInCMOS  = 0x32
	noC2, noC3     = 0x0FFF, 0x0FFF // latencies in us that say: not there

	pm1EventLen = 4
	pm1CtrlLen  = 2
	pmTimerLen  = 4

	spaceIO    = 1 // generic address structure
	accessByte = 1
	accessWord = 2
	accessLong = 3
)

// fadt is the body of the fixed ACPI description table, after the common header.
func fadt(c *Config) []byte {
	le := binary.LittleEndian
	b := make([]byte, fadtSize)
	b[fadtProfile] = profileDesktop
	le.PutUint16(b[fadtSCI:], layout.GSISCI)
	le.PutUint32(b[fadtSMICommand:], layout.PortSMI)
	b[fadtACPIEnable], b[fadtACPIDisable] = layout.SMIEnableACPI, layout.SMIDisableACPI

	block := func(old, extended int, port uint32, bytes, access uint8) {
		le.PutUint32(b[old:], port)
		address(b[extended:], port, bytes*8, access)
	}
	block(fadtPM1aEvent, fadtXPM1aEvent, layout.PortPM1Event, pm1EventLen, accessWord)
	block(fadtPM1aControl, fadtXPM1aControl, layout.PortPM1Control, pm1CtrlLen, accessWord)
	block(fadtPMTimer, fadtXPMTimer, layout.PortPMTimer, pmTimerLen, accessLong)
	block(fadtGPE0, fadtXGPE0, layout.PortGPE0, layout.PortGPE0Size, accessByte)
	b[fadtPM1EventLen], b[fadtPM1CtrlLen] = pm1EventLen, pm1CtrlLen
	b[fadtPMTimerLen], b[fadtGPE0Len] = pmTimerLen, layout.PortGPE0Size
	le.PutUint16(b[fadtC2Latency:], noC2)
	le.PutUint16(b[fadtC3Latency:], noC3)

	arch := uint16(bootArchLegacy | bootArchNoASPM)
	if c.I8042 {
		arch |= bootArch8042
	}
	if !c.VGA {
		arch |= bootArchNoVGA
	}
	if c.RTC {
		b[fadtCentury] = centuryInCMOS // the fields before it stay zero: neither day nor month alarm
	} else {
		arch |= bootArchNoRTC
	}
	le.PutUint16(b[fadtBootArch:], arch)
	flags := uint32(flagWBINVD | flagProcC1 | flagNoSleep | flagNoFixedRTC | flagTimer32 | flagReset | flagPlatformTime)
	if c.S3 {
		flags &^= flagNoFixedRTC // its alarm wakes
	}
	le.PutUint32(b[fadtFlags:], flags)
	if c.KeyboardReset {
		address(b[fadtReset:], layout.PortI8042Command, 8, accessByte)
		b[fadtResetValue] = layout.ResetPulse
	} else {
		address(b[fadtReset:], layout.PortReset, 8, accessByte)
		b[fadtResetValue] = layout.ResetHard
	}
	b[fadtMinor] = minorVersion
	return b[headerSize:]
}

// address writes a generic address structure (section 5.2.3.2) for an I/O port.
func address(b []byte, port uint32, bits, access uint8) {
	b[0], b[1], b[2], b[3] = spaceIO, bits, 0, access
	binary.LittleEndian.PutUint64(b[4:], uint64(port))
}
