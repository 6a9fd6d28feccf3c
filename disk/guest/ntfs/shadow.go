package ntfs

import (
	"context"
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// Shadow copies are found by a header at a fixed place of the volume, which points at a catalog of blocks with entries.
const (
	shadowHeaderAt  = 0x1e00
	shadowGUID      = "\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52"
	shadowCatalogAt = 0x30
	catalogSize     = 16 << 10
	catalogEntry    = 128
	catalogNextAt   = 0x28
	catalogStore    = 2 // entry of a shadow copy
	catalogPlace    = 3 // entry that says where it is
	maxCatalog      = 64
)

// judgeShadows refuses a volume with shadow copies. They hold only what was overwritten since; all else they read in its place, whether the file that it
// belonged to is still there or its clusters are free.
func (v *Volume) judgeShadows(ctx context.Context) error {
	p := make([]byte, 512)
	if v.r.Size < shadowHeaderAt+int64(len(p)) {
		return nil
	}
	if err := v.r.Read(ctx, p, shadowHeaderAt); err != nil {
		return err
	}
	if string(p[:16]) != shadowGUID {
		return nil
	}
	le := binary.LittleEndian
	unknown := volume.Refuse("whether it holds shadow copies (restore points) cannot be told; delete them in Windows, or accept that they may be lost")
	block, copies := make([]byte, catalogSize), 0
	at := le.Uint64(p[shadowCatalogAt:])
	for n := 0; at != 0; n++ {
		if n == maxCatalog || at > uint64(v.r.Size) {
			return unknown
		}
		if err := v.r.Read(ctx, block, int64(at)); err != nil {
			return err
		}
		if string(block[:16]) != shadowGUID {
			return unknown
		}
		for k := catalogEntry; k < catalogSize; k += catalogEntry {
			switch kind := le.Uint64(block[k:]); {
			case kind == catalogStore:
				copies++
			case kind > catalogPlace:
				return unknown
			}
		}
		at = le.Uint64(block[catalogNextAt:])
	}
	if copies > 0 {
		return volume.Refuse("it holds shadow copies (restore points; there are %d), which read what NTFS itself calls free; delete them in Windows, or accept their loss", copies)
	}
	return nil
}
