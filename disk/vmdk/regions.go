package vmdk

import (
	"math"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// region is a stretch of a file in bytes.
type region struct{ start, end int64 }

// regions is a set of metadata: sorted, disjoint, merged where adjacent, so that it is one or two entries in any ordinary file.
type regions []region

// mergeRegions sorts and merges; two that overlap would destroy each other on the first write, and are an error.
func mergeRegions(name string, all []region) (regions, error) {
	slices.SortFunc(all, func(a, b region) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	var out regions
	for _, r := range all {
		if r.start == r.end {
			continue
		}
		if n := len(out); n > 0 && r.start <= out[n-1].end {
			if r.start < out[n-1].end {
				return nil, disk.Corrupt(name, r.start, "two of the file's tables overlap here")
			}
			out[n-1].end = r.end
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

// overlap says whether [start, end) touches one of the regions.
func (rs regions) overlap(start, end int64) bool {
	i, _ := slices.BinarySearchFunc(rs, start, func(r region, at int64) int {
		if r.end <= at {
			return -1
		}
		return 1
	})
	return i < len(rs) && rs[i].start < end
}

// around returns the stretch between two regions that at lies in.
func (rs regions) around(at int64) (start, end int64) {
	i, _ := slices.BinarySearchFunc(rs, at, func(r region, at int64) int {
		if r.end <= at {
			return -1
		}
		return 1
	})
	end = math.MaxInt64
	if i > 0 {
		start = rs[i-1].end
	}
	if i < len(rs) {
		end = rs[i].start
	}
	return start, end
}
