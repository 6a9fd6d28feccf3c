package vdi

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Check compares the header and the block map with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	length, err := file.Size()
	if err != nil {
		return nil, err
	}
	h, err := readHeader(file, length)
	if err != nil {
		return nil, err
	}
	t, err := readTable(file, h, length)
	if err != nil {
		return nil, err
	}
	r := &disk.Report{Format: "vdi", Total: t.inUse(), BlockSize: h.block}
	add := func(s disk.Severity, at int64, format string, args ...any) {
		r.Add(disk.Problem{Severity: s, File: file.Name(), Offset: at, What: fmt.Sprintf(format, args...)})
	}
	for i, e := range t.slots {
		if e > lastSlot {
			continue
		}
		at := h.mapAt + int64(i)*4
		if reason := t.misplaced(int64(i), e); reason != "" {
			add(disk.Damage, at, "%s", reason)
			continue
		}
		r.Allocated++
		if !t.take(int64(e)) {
			add(disk.Damage, at, "block %d shares slot %d with another block", i, e)
		}
	}
	if h.allocated < t.top {
		add(disk.Repairable, allocatedAt, "the header counts %d blocks, but slot %d is in use; VirtualBox would write over it", h.allocated, t.top-1)
	} else if h.allocated != r.Allocated {
		add(disk.Leak, allocatedAt, "the header counts %d blocks, but %d are there", h.allocated, r.Allocated)
	}
	if r.Leaked = max(0, length-h.end(r.Allocated)); r.Leaked >= h.stride() {
		add(disk.Leak, -1, "%d bytes of the file belong to no block", r.Leaked)
	}
	return r, nil
}
