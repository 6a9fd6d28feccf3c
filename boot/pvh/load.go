package pvh

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/vmm/memory"
)

// Sizes and magic of the start info, in bytes.
const (
	startMagic   = 0x336EC578
	startVersion = 1
	startSize    = 56
	moduleSize   = 32
	mapEntrySize = 24

	moduleOffset = 64  // of the module list in the page
	mapOffset    = 128 // of the memory map in the page
	mapMax       = (layout.PageSize - mapOffset) / mapEntrySize
)

// initrdTop bounds the initrd as Linux's own header does for its other entry points.
const initrdTop = 0x80000000

// Load puts the kernel's segments, the initrd, the command line and the start info into mem and returns the state that starts the kernel.
// Memory that a segment has beyond its bytes in the file is left as it is: zero, as payload.Payload demands.
func Load(mem *memory.Guest, l layout.Layout, p *payload.Payload) (entry.State, error) {
	im, err := readImage(p.Kernel)
	if err != nil {
		return entry.State{}, err
	}
	end := uint64(layout.HighMemory)
	free := layout.Window{Base: layout.HighMemory, Size: l.Low.End() - layout.HighMemory}
	for _, s := range im.load {
		if !free.Contains(s.paddr, s.inCore) {
			return entry.State{}, p.Kernel.Fail(payload.ErrNoRoom, "a segment needs %d KiB at %#x, RAM is from %#x to %#x", (s.inCore+1023)/1024, s.paddr, free.Base, free.End())
		}
		end = max(end, s.paddr+s.inCore)
		if err := p.Kernel.ReadInto(mem, s.paddr, int64(s.offset), s.fileSize); err != nil {
			return entry.State{}, err
		}
	}
	if err := p.PlaceCmdline(mem, layout.CmdlineSize-1); err != nil {
		return entry.State{}, err
	}
	initrd, err := p.PlaceInitrd(mem, end, min(l.Low.End(), initrdTop))
	if err != nil {
		return entry.State{}, err
	}
	page, err := startInfo(p, initrd)
	if err != nil {
		return entry.State{}, err
	}
	if err := mem.Write(layout.StartInfo, page); err != nil {
		return entry.State{}, fmt.Errorf("boot: write PVH start info: %w", err)
	}
	return entry.Prepare32(mem, im.entry, layout.StartInfo)
}

// Check says whether f is a kernel that Load can start, given enough memory: nil, or an error as Load returns it.
func Check(f payload.File) error {
	_, err := readImage(f)
	return err
}

// startInfo builds hvm_start_info, its module list and its memory map, all in one page.
func startInfo(p *payload.Payload, initrd layout.Window) ([]byte, error) {
	if len(p.Map) > mapMax {
		return nil, fmt.Errorf("memory map has %d entries: the PVH start info holds %d", len(p.Map), mapMax)
	}
	le := binary.LittleEndian
	b := make([]byte, layout.PageSize)
	le.PutUint32(b[0:], startMagic)
	le.PutUint32(b[4:], startVersion)
	if initrd.Size != 0 {
		le.PutUint32(b[12:], 1)
		le.PutUint64(b[16:], layout.StartInfo+moduleOffset)
		le.PutUint64(b[moduleOffset:], initrd.Base)
		le.PutUint64(b[moduleOffset+8:], initrd.Size)
	}
	le.PutUint64(b[24:], layout.Cmdline)
	le.PutUint64(b[32:], p.RSDP)
	le.PutUint64(b[40:], layout.StartInfo+mapOffset)
	le.PutUint32(b[48:], uint32(len(p.Map)))
	for i, e := range p.Map {
		m := b[mapOffset+i*mapEntrySize:]
		le.PutUint64(m, e.Base)
		le.PutUint64(m[8:], e.Size)
		le.PutUint32(m[16:], uint32(e.Type))
	}
	return b, nil
}

// The structures lie in the page in this order, without overlap.
const (
	_ = uint(moduleOffset - startSize)
	_ = uint(mapOffset - moduleOffset - moduleSize)
)
