package vhd

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

// defaultBlock is what Microsoft's programs use.
const defaultBlock = 2 << 20

// Create makes a disk of o.Size bytes; path must not exist. Variants are "dynamic" (the default), "fixed" and, with a parent,
// "differencing".
func Create(path string, o disk.CreateOptions) error {
	diskType, h, err := describe(path, &o)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return o.Fill(path, func(f disk.File) error {
		if diskType == typeFixed {
			return writeFixed(f, o.Size)
		}
		return writeDynamic(f, newFooter(o.Size, diskType), h)
	})
}

// describe turns the options into a disk type and the header of a new disk. It fills in a Size that the parent gives.
func describe(path string, o *disk.CreateOptions) (diskType uint32, h header, err error) {
	diskType = typeDynamic
	h = header{at: footerSize, blockSize: o.BlockSize}
	switch {
	case o.Parent != "" && o.Variant != "" && o.Variant != "differencing":
		return 0, h, fmt.Errorf("a disk with a parent is differencing, not %q", o.Variant)
	case o.Parent != "":
		diskType = typeDifferencing
		var parent disk.Info
		if h.parent, parent, err = adopt(path, *o); err != nil {
			return 0, h, err
		}
		if o.Size == 0 {
			o.Size = parent.Size
		}
	case o.Variant == "differencing":
		return 0, h, fmt.Errorf("a differencing disk needs a parent")
	case o.Variant == "fixed":
		diskType = typeFixed
	case o.Variant != "" && o.Variant != "dynamic":
		return 0, h, fmt.Errorf("a VHD is dynamic, fixed or differencing, not %q", o.Variant)
	}
	if h.blockSize == 0 {
		h.blockSize = defaultBlock
	}
	if err := checkSize(o.Size); err != nil {
		return 0, h, err
	}
	switch {
	case h.blockSize < minBlock || h.blockSize > maxBlock || bits.OnesCount64(uint64(h.blockSize)) != 1 || o.Size/h.blockSize >= maxEntries:
		return 0, h, fmt.Errorf("block size %d does not suit (usual: %d)", h.blockSize, defaultBlock)
	case o.SectorSize != 0 && o.SectorSize != sectorSize:
		return 0, h, fmt.Errorf("a VHD's sectors have %d bytes, not %d (use VHDX)", sectorSize, o.SectorSize)
	}
	h.entries = (o.Size + h.blockSize - 1) / h.blockSize
	return diskType, h, nil
}

// checkSize says whether a VHD can have size bytes.
func checkSize(size int64) error {
	switch {
	case size < 0 || size%sectorSize != 0:
		return fmt.Errorf("a VHD's size is a multiple of %d bytes; %d is not", sectorSize, size)
	case size > maxSize:
		return fmt.Errorf("a VHD holds at most 2040 GiB, %d bytes are more (use VHDX or VMDK)", size)
	}
	return nil
}

func writeFixed(file disk.File, size int64) error {
	if err := file.Truncate(size); err != nil {
		return err
	}
	_, err := file.WriteAt(newFooter(size, typeFixed)[:], size)
	return err
}

func writeDynamic(file disk.File, f *footer, h header) error {
	head := h.encode()
	h.tableOffset = footerSize + int64(len(head))
	head = h.encode() // now it knows how long it is
	table := (h.entries*4 + sectorSize - 1) / sectorSize * sectorSize
	all := bytes.Join([][]byte{f[:], head, bytes.Repeat([]byte{0xff}, int(table)), f[:]}, nil)
	_, err := file.WriteAt(all, 0)
	return err
}
