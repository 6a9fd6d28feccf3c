package vdi

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

const (
	// defaultBlock is what every program uses; qemu reads no other.
	defaultBlock = 1 << 20
	// dataAlign is where the blocks start, so that the guest's 4 KiB blocks are the host's.
	dataAlign = 1 << 20
)

// Create makes a disk of o.Size bytes; path must not exist. Variants are "dynamic" (the default) and "fixed".
func Create(path string, o disk.CreateOptions) error {
	h, err := newHeader(o)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return o.Fill(path, h.write)
}

func newHeader(o disk.CreateOptions) (*header, error) {
	h := &header{kind: typeDynamic, size: o.Size, mapAt: headerSize, block: o.BlockSize}
	if h.block == 0 {
		h.block = defaultBlock
	}
	if o.Variant == "fixed" {
		h.kind = typeFixed
	}
	switch {
	case o.Variant != "" && o.Variant != "dynamic" && o.Variant != "fixed":
		return nil, fmt.Errorf("a VDI is dynamic or fixed, not %q", o.Variant)
	case o.Parent != "":
		return nil, fmt.Errorf("%w: a VDI cannot name its parent's file; use qcow2 or VMDK for an overlay", disk.ErrUnsupported)
	case h.size < 0 || h.size%sectorSize != 0:
		return nil, fmt.Errorf("a VDI's size is a multiple of %d bytes; %d is not", sectorSize, h.size)
	case h.block < minBlock || h.block > maxBlock || bits.OnesCount64(uint64(h.block)) != 1:
		return nil, fmt.Errorf("block size %d is not a power of two from %d to %d", h.block, minBlock, maxBlock)
	}
	if h.blocks = (h.size + h.block - 1) / h.block; h.blocks > maxEntries {
		return nil, fmt.Errorf("%d blocks of %d bytes are more than the %d that are supported; choose larger ones", h.blocks, h.block, maxEntries)
	}
	h.dataAt = (h.mapAt + h.blocks*4 + dataAlign - 1) / dataAlign * dataAlign
	if h.kind == typeFixed {
		h.allocated = h.blocks
	}
	return h, nil
}

func (h *header) write(file disk.File) error {
	if err := file.Truncate(h.end(h.allocated)); err != nil {
		return err
	}
	if _, err := file.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	p := make([]byte, 0, scanStep)
	for first := int64(0); first < h.blocks; first += scanStep / 4 {
		p = p[:0]
		for n := first; n < min(h.blocks, first+scanStep/4); n++ {
			e := uint32(entryFree)
			if h.kind == typeFixed {
				e = uint32(n)
			}
			p = binary.LittleEndian.AppendUint32(p, e)
		}
		if _, err := file.WriteAt(p, h.mapAt+first*4); err != nil {
			return err
		}
	}
	return nil
}
