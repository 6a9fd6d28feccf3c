package vmm

import "github.com/sharevm/vmm/vmm/memory"

// Range is a range of guest-physical addresses.
type Range struct{ Base, Size uint64 }

// cut takes the holes out of RAM.
func cut(ram []memory.Region, holes []Range) (pieces []memory.Region) {
	for _, r := range ram {
		for _, h := range holes {
			end := r.Base + uint64(len(r.Host))
			if h.Base >= end || h.Base+h.Size <= r.Base {
				continue
			}
			if h.Base > r.Base {
				pieces = append(pieces, memory.Region{Base: r.Base, Host: r.Host[:h.Base-r.Base]})
			}
			n := min(h.Base+h.Size, end) - r.Base
			r.Base, r.Host = r.Base+n, r.Host[n:]
			if len(r.Host) == 0 {
				break
			}
		}
		if len(r.Host) > 0 {
			pieces = append(pieces, memory.Region{Base: r.Base, Host: r.Host})
		}
	}
	return pieces
}
