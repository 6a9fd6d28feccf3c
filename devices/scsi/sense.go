package scsi

import "encoding/binary"

// Status is the status byte of a command (SAM-5, section 5.3.1).
type Status uint8

// The statuses in use.
const (
	Good           Status = 0x00
	CheckCondition Status = 0x02
	Busy           Status = 0x08
	TaskSetFull    Status = 0x28
	TaskAborted    Status = 0x40
)

// Sense says what is wrong: sense key, additional sense code and its qualifier (SPC-4, sections 4.5.6 and D.2).
type Sense struct{ Key, ASC, ASCQ uint8 }

// Sense keys.
const (
	keyNoSense       = 0x0
	keyNotReady      = 0x2
	keyMediumError   = 0x3
	keyHardwareError = 0x4
	keyIllegal       = 0x5
	keyAttention     = 0x6
	keyDataProtect   = 0x7
	keyAborted       = 0xb
	keyMiscompare    = 0xe
)

// What the units report.
var (
	senseNone            = Sense{}
	senseStopped         = Sense{keyNotReady, 0x04, 0x02}
	senseNoMedium        = Sense{keyNotReady, 0x3a, 0x00}
	senseTrayOpen        = Sense{keyNotReady, 0x3a, 0x02}
	senseReadFault       = Sense{keyMediumError, 0x11, 0x00}
	senseWriteFault      = Sense{keyMediumError, 0x0c, 0x00}
	senseInternal        = Sense{keyHardwareError, 0x44, 0x00}
	senseListLength      = Sense{keyIllegal, 0x1a, 0x00}
	senseBadOpcode       = Sense{keyIllegal, 0x20, 0x00}
	senseBadLBA          = Sense{keyIllegal, 0x21, 0x00}
	senseBadField        = Sense{keyIllegal, 0x24, 0x00}
	senseBadUnit         = Sense{keyIllegal, 0x25, 0x00}
	senseBadParameter    = Sense{keyIllegal, 0x26, 0x00}
	senseBadSaving       = Sense{keyIllegal, 0x39, 0x00}
	senseLocked          = Sense{keyIllegal, 0x53, 0x02}
	senseBadTrackMode    = Sense{keyIllegal, 0x64, 0x00}
	senseMediumChanged   = Sense{keyAttention, 0x28, 0x00}
	senseCapacityChanged = Sense{keyAttention, 0x2a, 0x09}
	senseReadOnly        = Sense{keyDataProtect, 0x27, 0x00}
	senseNoSpace         = Sense{keyDataProtect, 0x27, 0x07}
	senseDataPhase       = Sense{keyAborted, 0x4b, 0x00}
	senseMiscompare      = Sense{keyMiscompare, 0x1d, 0x00}
)

// Why a unit was reset, as the next command learns it in a unit attention.
var (
	NoAttention = Sense{} // nothing to learn
	PowerOn     = Sense{keyAttention, 0x29, 0x00}
	BusReset    = Sense{keyAttention, 0x29, 0x02}
	DeviceReset = Sense{keyAttention, 0x29, 0x03}
)

// SenseSize is the length of sense data in bytes. It is always of the fixed format.
const SenseSize = 18

// put lays s out in the fixed format (SPC-4, section 4.5.3).
func (s Sense) put(p *[SenseSize]byte) {
	*p = [SenseSize]byte{0: 0x70, 2: s.Key, 7: SenseSize - 8, 12: s.ASC, 13: s.ASCQ}
}

// putLBA adds the block that the sense is about, where the information field can hold it.
func putLBA(p *[SenseSize]byte, lba uint64) {
	if lba <= 0xffffffff {
		p[0] |= 0x80
		binary.BigEndian.PutUint32(p[3:], uint32(lba))
	}
}
