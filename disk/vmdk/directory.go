package vmdk

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk"
)

// directory is a grain directory: the sector of each grain table, or 0 where there is none yet.
type directory []uint32

// readDirectory reads the directory at a sector and checks that its tables lie in the file.
func readDirectory(file disk.File, h *header, sector, fileSize int64, what string) (directory, error) {
	raw := make([]byte, h.entries()*4)
	if err := disk.ReadFull(file, raw, sector*sectorSize, what); err != nil {
		return nil, err
	}
	d := make(directory, h.entries())
	for i := range d {
		d[i] = binary.LittleEndian.Uint32(raw[i*4:])
		if at := int64(d[i]) * sectorSize; at > fileSize-h.tableBytes() {
			return nil, disk.Corrupt(file.Name(), sector*sectorSize+int64(i)*4,
				"grain table %d lies at byte %d, beyond the end of the file (%d)", i, at, fileSize)
		}
	}
	return d, nil
}

// metadata collects where the file's own structures lie.
func metadata(name string, h *header, dirs ...directory) (regions, error) {
	all := []region{{0, h.size()}}
	add := func(sector, bytes int64) {
		// Structures start and end at sectors. Tables mostly follow each other, and are kept as one.
		r := region{sector * sectorSize, (sector*sectorSize + bytes + sectorSize - 1) / sectorSize * sectorSize}
		if last := &all[len(all)-1]; last.end == r.start {
			last.end = r.end
			return
		}
		all = append(all, r)
	}
	add(h.descriptorOffset, h.descriptorSize*sectorSize)
	if h.gd != 0 {
		add(h.gd, h.entries()*4)
	}
	if h.redundant() {
		add(h.redundantGD, h.entries()*4)
	}
	for _, d := range dirs {
		for _, sector := range d {
			if sector != 0 {
				add(int64(sector), h.tableBytes())
			}
		}
	}
	return mergeRegions(name, all)
}
