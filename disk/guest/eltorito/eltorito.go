// Package eltorito reads the boot catalogue of a CD-ROM ("El Torito" Bootable CD-ROM Format Specification 1.0; UEFI 2.10, section 13.3.2.1).
package eltorito

import (
	"bytes"
	"encoding/binary"
	"io"
)

const (
	sectorSize = 2048
	recordAt   = 17 * sectorSize // the boot record volume descriptor
	entrySize  = 32
	entries    = sectorSize / entrySize // of a catalogue of one sector; none is known to be longer

	platformBIOS = 0x00
	platformEFI  = 0xef

	validation  = 0x01 // header IDs of the catalogue's entries
	section     = 0x90
	lastSection = 0x91
	bootable    = 0x88
)

// Platforms says which firmware finds something to start on a CD-ROM's image. An image without a catalogue, or with a broken one, starts with
// none. An error comes from r.
func Platforms(r io.ReaderAt, size int64) (bios, efi bool, err error) {
	record := make([]byte, sectorSize)
	if size < recordAt+sectorSize {
		return false, false, nil
	}
	if _, err := r.ReadAt(record, recordAt); err != nil {
		return false, false, err
	}
	if !bytes.HasPrefix(record, []byte("\x00CD001\x01EL TORITO SPECIFICATION")) {
		return false, false, nil
	}
	at := int64(binary.LittleEndian.Uint32(record[0x47:])) * sectorSize
	if at > size-sectorSize {
		return false, false, nil
	}
	catalogue := make([]byte, sectorSize)
	if _, err := r.ReadAt(catalogue, at); err != nil {
		return false, false, err
	}
	bios, efi = platforms(catalogue)
	return bios, efi, nil
}

// platforms reads a catalogue: the validation entry and the one behind it, then sections of entries.
func platforms(catalogue []byte) (bios, efi bool) {
	note := func(platform byte, entry []byte) {
		if entry[0] == bootable {
			bios = bios || platform == platformBIOS
			efi = efi || platform == platformEFI
		}
	}
	entry := func(i int) []byte { return catalogue[i*entrySize:][:entrySize] }
	if first := entry(0); first[0] != validation || first[30] != 0x55 || first[31] != 0xaa {
		return false, false
	}
	note(entry(0)[1], entry(1))
	for i := 2; i < entries; i++ {
		header := entry(i)
		if header[0] != section && header[0] != lastSection {
			break
		}
		count := int(binary.LittleEndian.Uint16(header[2:]))
		for ; count > 0 && i+1 < entries; count-- {
			i++
			note(header[1], entry(i))
		}
		if header[0] == lastSection {
			break
		}
	}
	return bios, efi
}
