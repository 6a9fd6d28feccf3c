package flash

import "math/bits"

// Identity of the chip: Intel's manufacturer code, and the device code of a 28F640J3.
const (
	manufacturer = 0x89
	device       = 0x17
)

// identifier is what a chip in identifier mode reads as. No block is locked.
func identifier(at uint64) uint8 {
	switch at % BlockSize {
	case 0:
		return manufacturer
	case 1:
		return device
	}
	return 0
}

// Offsets of the query structure (JESD68.01, section 3), and of Intel's extended table behind it.
const (
	cfiMagic    = 0x10
	cfiCommands = 0x13
	cfiExtended = 0x15
	cfiVccMin   = 0x1B
	cfiVccMax   = 0x1C
	cfiWord     = 0x1F // typical time of programming a byte, 2^n us
	cfiBuffer   = 0x20 // of a buffer
	cfiErase    = 0x21 // of erasing a block, 2^n ms
	cfiSize     = 0x27 // 2^n bytes
	cfiMulti    = 0x2A // largest buffer, 2^n bytes
	cfiRegions  = 0x2C
	cfiBlocks   = 0x2D // number less one, and size in units of 256 bytes
	cfiTable    = 0x31
)

// query is a byte of the query structure of a chip of size bytes.
func query(at uint64, size int) uint8 {
	blocks := size/BlockSize - 1
	switch at {
	case cfiMagic:
		return 'Q'
	case cfiMagic + 1:
		return 'R'
	case cfiMagic + 2:
		return 'Y'
	case cfiCommands:
		return 1 // Intel's extended set
	case cfiExtended:
		return cfiTable
	case cfiVccMin:
		return 0x45 // V, tenths in the lower half
	case cfiVccMax:
		return 0x55
	case cfiWord, cfiBuffer:
		return 7
	case cfiErase:
		return 10
	case cfiSize:
		return uint8(bits.Len(uint(size - 1)))
	case cfiMulti:
		return uint8(bits.Len(bufferSize - 1))
	case cfiRegions:
		return 1
	case cfiBlocks:
		return uint8(blocks)
	case cfiBlocks + 1:
		return uint8(blocks >> 8)
	case cfiBlocks + 2:
		return uint8(BlockSize / 256 & 0xFF)
	case cfiBlocks + 3:
		return BlockSize / 256 >> 8
	case cfiTable:
		return 'P'
	case cfiTable + 1:
		return 'R'
	case cfiTable + 2:
		return 'I'
	case cfiTable + 3:
		return '1'
	case cfiTable + 4:
		return '0'
	}
	return 0
}
