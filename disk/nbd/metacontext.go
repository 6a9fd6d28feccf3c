package nbd

import (
	"strings"

	"github.com/sharevm/vmm/disk"
)

// metaContext is a metadata context: something that BLOCK_STATUS can tell about ranges (section "Metadata querying"). Its number in contexts,
// plus 1, is its ID on the wire.
type metaContext struct {
	name string
	// status is what the context says of an extent.
	status func(disk.Extent) uint32
}

const numContexts = 2

var contexts = [numContexts]metaContext{
	// Marked zeroes count as holes too: a write to them may need space that is not there, which is what a hole says.
	{"base:allocation", func(e disk.Extent) uint32 {
		if e.Kind == disk.Data {
			return 0
		}
		return stateHole | stateZero
	}},
	// Registered by qemu (its docs/interop/nbd): 0 for what no image of the chain holds, else how far down it lies, the top being 1.
	{"qemu:allocation-depth", func(e disk.Extent) uint32 {
		if e.Kind == disk.Hole {
			return 0
		}
		return uint32(e.Depth) + 1
	}},
}

// contextSet is a set of contexts: bit n for contexts[n].
type contextSet uint8

// match returns the contexts that a query means. Only a LIST takes a namespace with nothing after the colon for all that is in it.
func match(query string, list bool) (set contextSet) {
	for n, c := range contexts {
		if query == c.name || list && strings.HasSuffix(query, ":") && strings.HasPrefix(c.name, query) {
			set |= 1 << n
		}
	}
	return set
}
