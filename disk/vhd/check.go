package vhd

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/claims"
)

// Check compares the footers, the header and the block allocation table with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l, err := locate(file)
	if err != nil {
		return nil, err
	}
	r := &disk.Report{Format: "vhd"}
	size := int64(l.footer.capacity())
	switch l.footer.diskType() {
	case typeFixed:
		if size > l.footerAt {
			r.Add(disk.Problem{Severity: disk.Damage, File: path, Offset: l.footerAt, What: "the file is shorter than the disk"})
		}
		return r, nil
	case typeDynamic, typeDifferencing:
		return r, checkDynamic(r, file, l, size)
	}
	return nil, disk.Corrupt(path, l.footerAt+60, "unknown disk type %d", l.footer.diskType())
}

func checkDynamic(r *disk.Report, file disk.File, l location, size int64) error {
	name := file.Name()
	if l.recovered {
		r.Add(disk.Problem{Severity: disk.Repairable, File: name, Offset: l.end(), What: "the footer at the end is missing or damaged; its copy at the start is sound"})
	} else {
		copied := &footer{}
		if err := disk.ReadFull(file, copied[:], 0, "copy of the footer"); err != nil {
			return err
		}
		if *copied != *l.footer {
			what := "the copy of the footer at the start differs from the footer"
			if p := copied.problem(); p != "" {
				what = "the copy of the footer at the start is damaged: " + p
			}
			r.Add(disk.Problem{Severity: disk.Repairable, File: name, Offset: 0, What: what})
		}
	}
	h, err := readHeader(file, l.footer, size, l.fileSize)
	if err != nil {
		return err
	}
	t, err := readTable(file, l.footer, h, size)
	if err != nil {
		return err
	}
	r.Total, r.BlockSize = t.blocks(), h.blockSize
	for i := range t.blocks() {
		if t.bat[i] == unused {
			continue
		}
		r.Allocated++
		if reason := t.misplaced(i, l.fileSize); reason != "" {
			r.Add(disk.Problem{Severity: disk.Damage, File: name, Offset: h.tableOffset + i*4, What: reason})
		}
	}
	err = claims.Overlaps(r, name, h.stride()/sectorSize, l.fileSize/sectorSize, func(yield func(uint32)) error {
		for _, e := range t.bat[:t.blocks()] {
			if e != unused {
				yield(e)
			}
		}
		return nil
	})
	r.Leaked = t.leaked(l)
	if r.Leaked > 0 {
		r.Add(disk.Problem{Severity: disk.Leak, File: name, Offset: -1, What: fmt.Sprintf("%d bytes of the file belong to no block", r.Leaked)})
	}
	return err
}

// leaked is how much of the file is in no block, beyond what aligning each costs.
func (t *table) leaked(l location) int64 {
	used := t.tableOffset + t.entries*4
	for _, e := range t.bat[:t.blocks()] {
		if e != unused {
			used += t.stride() + dataAlign
		}
	}
	if spare := l.end() - used; spare >= t.stride() {
		return spare
	}
	return 0
}
