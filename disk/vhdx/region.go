package vhdx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/sharevm/vmm/disk"
)

const (
	regionSignature = "regi"
	regionTableSize = 64 * kib
	maxRegions      = 2047
)

// regionAt is where the two copies of the region table lie.
var regionAt = [2]int64{192 * kib, 256 * kib}

var (
	regionBAT      = mustGUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
	regionMetadata = mustGUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
)

// region is a range of the file that is no block.
type region struct {
	start, end int64
	what       string
}

// regions are all of a file, sorted, without overlaps.
type regions struct {
	bat, metadata region
	all           []region
	copy          int      // which of the two copies says so
	problems      []string // what is wrong with one of them, or between them
}

// readRegions reads the region table of a file of size bytes with the log that h describes.
func readRegions(file disk.File, h *header, size int64) (*regions, error) {
	var tables [2][]byte
	var problems []string
	for n, at := range regionAt {
		p := make([]byte, regionTableSize)
		if m, err := file.ReadAt(p, at); m < len(p) && err != io.EOF && err != nil {
			return nil, err
		}
		if problem := regionTableProblem(p); problem != "" {
			problems = append(problems, fmt.Sprintf("region table %d: %s", n+1, problem))
			continue
		}
		tables[n] = p
	}
	n := 0
	switch {
	case tables[0] == nil && tables[1] == nil:
		return nil, disk.Corrupt(file.Name(), regionAt[0], "no valid region table (%s; %s)", problems[0], problems[1])
	case tables[0] == nil:
		n = 1
	case tables[1] != nil && !slices.Equal(tables[0], tables[1]):
		problems = append(problems, "the two region tables differ")
	}
	r, err := parseRegions(file.Name(), regionAt[n], tables[n], size)
	if err != nil {
		return nil, err
	}
	r.problems, r.copy = problems, n
	r.all = append(r.all, region{0, headerArea, "the headers"})
	if h.logLength > 0 {
		r.all = append(r.all, region{h.logOffset, h.logOffset + h.logLength, "the log"})
	}
	return r, r.validate(file.Name(), regionAt[n], size)
}

func regionTableProblem(p []byte) string {
	switch {
	case string(p[:4]) != regionSignature:
		return `no "regi" signature`
	case storedChecksum(p) != checksum(p):
		return fmt.Sprintf("checksum is %#08x, should be %#08x", storedChecksum(p), checksum(p))
	}
	return ""
}

func parseRegions(name string, at int64, p []byte, size int64) (*regions, error) {
	le := binary.LittleEndian
	count := le.Uint32(p[8:])
	if count > maxRegions {
		return nil, disk.Corrupt(name, at+8, "a region table of %d entries (at most %d)", count, maxRegions)
	}
	r, seen := &regions{}, map[guid]bool{}
	for k := range int(count) {
		e, field := p[16+32*k:], at+16+32*int64(k)
		id, offset, length, required := guid(e[:16]), le.Uint64(e[16:]), int64(le.Uint32(e[24:])), le.Uint32(e[28:])&1 != 0
		if seen[id] {
			return nil, disk.Corrupt(name, field, "region %v is listed twice", id)
		}
		seen[id] = true
		if offset%mib != 0 || offset < headerArea || length%mib != 0 || offset > uint64(size) || length > size-int64(offset) {
			return nil, disk.Corrupt(name, field+16, "region %v (%d bytes at %d) leaves the file or is not aligned", id, length, offset)
		}
		g := region{int64(offset), int64(offset) + length, "region " + id.String()}
		switch {
		case id == regionBAT:
			g.what = "the block allocation table"
			r.bat = g
		case id == regionMetadata:
			g.what = "the metadata"
			r.metadata = g
		case required:
			return nil, disk.Unsupported(name, field, "it has a region %v that must be understood", id)
		}
		if length > 0 {
			r.all = append(r.all, g)
		}
	}
	return r, nil
}

// validate checks that the regions that are needed are there, and that none overlaps another.
func (r *regions) validate(name string, at, size int64) error {
	if r.bat.end == 0 {
		return disk.Corrupt(name, at, "there is no block allocation table")
	}
	if r.metadata.end == 0 {
		return disk.Corrupt(name, at, "there is no metadata")
	}
	slices.SortFunc(r.all, func(a, b region) int { return cmp.Compare(a.start, b.start) })
	for k, g := range r.all {
		if g.end > size {
			return disk.Corrupt(name, at, "%s (bytes %d to %d) leaves the file (%d bytes)", g.what, g.start, g.end, size)
		}
		if k > 0 && g.start < r.all[k-1].end {
			return disk.Corrupt(name, at, "%s and %s overlap at byte %d", r.all[k-1].what, g.what, g.start)
		}
	}
	return nil
}

// overlap returns a region that [start, end) overlaps, or nil.
func (r *regions) overlap(start, end int64) *region {
	k, _ := slices.BinarySearchFunc(r.all, start, func(g region, at int64) int {
		if g.end <= at {
			return -1
		}
		return 1
	})
	if k < len(r.all) && r.all[k].start < end {
		return &r.all[k]
	}
	return nil
}

// encodeRegions returns a region table for a new file.
func encodeRegions(bat, metadata region) []byte {
	p := make([]byte, regionTableSize)
	le := binary.LittleEndian
	copy(p, regionSignature)
	le.PutUint32(p[8:], 2)
	for k, g := range []struct {
		id guid
		region
	}{{regionBAT, bat}, {regionMetadata, metadata}} {
		e := p[16+32*k:]
		copy(e, g.id[:])
		le.PutUint64(e[16:], uint64(g.start))
		le.PutUint32(e[24:], uint32(g.end-g.start))
		le.PutUint32(e[28:], 1)
	}
	seal(p)
	return p
}
