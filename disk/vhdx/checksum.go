package vhdx

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumAt is where headers, region tables and log entries keep their checksum.
const checksumAt = 4

// checksum is the CRC-32C of p with its own field taken as zero.
func checksum(p []byte) uint32 {
	return updateChecksum(startChecksum(p[:checksumAt+4]), p[checksumAt+4:])
}

// startChecksum begins a checksum with the bytes up to and including the field.
func startChecksum(p []byte) uint32 {
	return updateChecksum(updateChecksum(0, p[:checksumAt]), []byte{0, 0, 0, 0})
}

func updateChecksum(sum uint32, p []byte) uint32 { return crc32.Update(sum, castagnoli, p) }

func storedChecksum(p []byte) uint32 { return binary.LittleEndian.Uint32(p[checksumAt:]) }

// seal stores the checksum of p in its field.
func seal(p []byte) { binary.LittleEndian.PutUint32(p[checksumAt:], checksum(p)) }
