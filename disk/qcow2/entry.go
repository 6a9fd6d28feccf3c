package qcow2

import (
	"fmt"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

// Bits of L1 and L2 entries.
const (
	flagCopied     = 1 << 63 // nothing else refers to the cluster: it may be written in place
	flagCompressed = 1 << 62
	flagZero       = 1 << 0 // reads as zeroes, whatever the rest says; version 3
	offsetMask     = 1<<56 - 1<<9
)

// host is where an entry's standard cluster is, or 0.
func host(e uint64) int64 { return int64(e & offsetMask) }

// packed returns the place of an entry's compressed data: at a byte, to the end of a sector.
func (h *header) packed(e uint64) (at, length int64) {
	shift := 62 - (h.clusterBits - 8)
	at = int64(e & (1<<shift - 1))
	sectors := int64(e & (flagCompressed - 1) >> shift)
	return at, (sectors+1)*512 - at%512
}

// span is the run of the file's clusters that an entry refers to; none if n is 0.
func (h *header) span(e uint64) (first, n int64) {
	if e&flagCompressed != 0 {
		at, length := h.packed(e)
		first = at >> h.clusterBits
		return first, (at+length-1)>>h.clusterBits - first + 1
	}
	if host(e) == 0 {
		return 0, 0
	}
	return host(e) >> h.clusterBits, 1
}

// place is what Find says of a cluster with entry e in a file of length bytes. One that reaches beyond the file's end, as
// the last one may, and one that must not be written in place are left to Unpack.
func (h *header) place(e uint64, length int64, writable bool) int64 {
	switch at := host(e); {
	case e&flagCompressed != 0:
		return mapped.Packed
	case e&flagZero != 0:
		return mapped.Zero
	case at == 0:
		return mapped.Hole
	case writable && e&flagCopied == 0, at+h.clusterSize() > length:
		return mapped.Packed
	default:
		return at
	}
}

// wrong says what is wrong with the L2 entry of a cluster in a file of length bytes, or returns "".
func (h *header) wrong(e uint64, cluster, length int64, meta *clusters) string {
	if e&flagCompressed != 0 {
		if at, _ := h.packed(e); at < h.clusterSize() || at >= length {
			return fmt.Sprintf("compressed cluster %d lies at byte %d, outside the file's data (%d bytes)", cluster, at, length)
		}
		return ""
	}
	at := host(e)
	switch {
	case e&flagZero != 0 && h.version < 3:
		return fmt.Sprintf("cluster %d is marked as zeroes, which version 2 does not have", cluster)
	case at == 0:
		return ""
	case at%h.clusterSize() != 0:
		return fmt.Sprintf("cluster %d at byte %d does not start at a cluster of the file", cluster, at)
	case at >= length: // one of zeroes too: something else may come to be there
		return fmt.Sprintf("cluster %d lies at byte %d, beyond the end of the file (%d)", cluster, at, length)
	case meta.has(at >> h.clusterBits):
		return fmt.Sprintf("cluster %d at byte %d overlaps the file's tables", cluster, at)
	}
	return ""
}
