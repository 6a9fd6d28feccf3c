package linux

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
)

// Fields of boot_params outside the setup header.
const (
	offACPIRSDP    = 0x070
	offE820Entries = 0x1E8
	offE820Table   = 0x2D0
	e820Max        = 128
)

// zeroPage builds boot_params: all zero (screen_info too, so that Linux looks for no display of the firmware's) but for the
// setup header and what the loader has to say.
func zeroPage(h *Header, p *payload.Payload, initrd layout.Window) ([]byte, error) {
	if len(p.Map) > e820Max {
		return nil, fmt.Errorf("memory map has %d entries: boot_params holds %d", len(p.Map), e820Max)
	}
	le := binary.LittleEndian
	b := make([]byte, layout.PageSize)
	copy(b[offSetupSects:], h.raw[offSetupSects:])

	le.PutUint64(b[offACPIRSDP:], p.RSDP)
	b[offTypeOfLoader] = unknownLoader
	b[offLoadFlags] = loadedHigh
	le.PutUint16(b[offVidMode:], videoModeNormal)
	le.PutUint32(b[offRamdiskImage:], uint32(initrd.Base))
	le.PutUint32(b[offRamdiskSize:], uint32(initrd.Size))
	le.PutUint32(b[offCmdlinePtr:], layout.Cmdline)
	le.PutUint64(b[offSetupData:], 0)

	b[offE820Entries] = uint8(len(p.Map))
	table := b[offE820Table:offE820Table]
	for _, e := range p.Map {
		table = e.AppendTo(table)
	}
	return b, nil
}

// The table ends inside the page.
const _ = uint(layout.PageSize - offE820Table - e820Max*e820.EntrySize)
