package vhd

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

// defaultBlock is what Microsoft's programs use.
const defaultBlock = 2 << 20

// Create makes a disk of o.Size bytes; path must not exist. Variants are "dynamic" (the default) and "fixed".
func Create(path string, o disk.CreateOptions) error {
	h := header{at: footerSize, tableOffset: footerSize + headerSize, blockSize: o.BlockSize}
	if h.blockSize == 0 {
		h.blockSize = defaultBlock
	}
	h.entries = (o.Size + h.blockSize - 1) / h.blockSize
	switch {
	case o.Variant != "" && o.Variant != "dynamic" && o.Variant != "fixed":
		return fmt.Errorf("%s: create: a VHD is dynamic or fixed, not %q", path, o.Variant)
	case o.Size < 0 || o.Size%sectorSize != 0:
		return fmt.Errorf("%s: create: a VHD's size is a multiple of %d bytes; %d is not", path, sectorSize, o.Size)
	case o.Size > maxSize:
		return fmt.Errorf("%s: create: a VHD holds at most 2040 GiB, %d bytes are more (use VHDX or VMDK)", path, o.Size)
	case h.blockSize < minBlock || h.blockSize > maxBlock || bits.OnesCount64(uint64(h.blockSize)) != 1 || h.entries > maxEntries:
		return fmt.Errorf("%s: create: block size %d does not suit (usual: %d)", path, h.blockSize, defaultBlock)
	}
	file, err := o.Create(path)
	if err != nil {
		return err
	}
	if o.Variant == "fixed" {
		err = writeFixed(file, o.Size)
	} else {
		err = writeDynamic(file, o.Size, h)
	}
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		o.Remove(path)
		return fmt.Errorf("%s: create: %w", path, err)
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

func writeDynamic(file disk.File, size int64, h header) error {
	f := newFooter(size, typeDynamic)
	table := (h.entries*4 + sectorSize - 1) / sectorSize * sectorSize
	all := bytes.Join([][]byte{f[:], h.encode(), bytes.Repeat([]byte{0xff}, int(table)), f[:]}, nil)
	_, err := file.WriteAt(all, 0)
	return err
}
