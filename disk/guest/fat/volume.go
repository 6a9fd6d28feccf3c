package fat

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// Volume is a FAT file system.
type Volume struct {
	boot boot
	r    volume.Reader
}

// Name is "fat12", "fat16" or "fat32".
func (v *Volume) Name() string {
	if v.boot.bits == 0 {
		return "fat"
	}
	return fmt.Sprintf("fat%d", v.boot.bits)
}

// Open judges a volume by its boot sector and the two entries of its table that stand for no cluster. It refuses with a [volume.Refusal], and
// returns the Volume nevertheless.
func Open(ctx context.Context, r volume.Reader) (*Volume, error) {
	v := &Volume{r: r}
	p := make([]byte, bootSize)
	if err := r.Read(ctx, p, 0); err != nil {
		return v, err
	}
	if err := v.boot.parse(p, r.Size); err != nil {
		return v, err
	}
	b := &v.boot
	first := make([]byte, 8)
	if err := r.Read(ctx, first[:min(8, b.tableSize)], b.table); err != nil {
		return v, err
	}
	if first[0] != b.media {
		return v, volume.Refuse("it is damaged: its table does not start as the boot sector says; run a disk check")
	}
	// Entry 1 has a bit for "was unmounted" and one for "no errors were met".
	clean := !b.dirty
	switch le := binary.LittleEndian; b.bits {
	case 16:
		clean = clean && le.Uint16(first[2:])&0xc000 == 0xc000
	case 32:
		clean = clean && le.Uint32(first[4:])&0x0c000000 == 0x0c000000
	}
	if !clean {
		return v, volume.Refuse("it was not cleanly unmounted, or the guest met errors; boot the guest, let it check the disk, and shut it down")
	}
	return v, nil
}

// chunk is how much of a table is read at a time, in bytes: whole entries of each kind.
const chunk = 96 << 10

// Free calls yield for the runs of bytes of the volume that belong to no file, in ascending order. It refuses with a [volume.Refusal] where the two
// tables differ. Call it only if Open did not refuse.
func (v *Volume) Free(ctx context.Context, yield volume.Yield) error {
	b := &v.boot
	out := volume.Merger{Yield: yield}
	p, mirror := make([]byte, chunk), make([]byte, chunk)
	cluster, end := int64(0), b.clusters+2
	for at := int64(0); cluster < end; at += chunk {
		n := min(chunk, b.tableSize-at)
		p = p[:n]
		if err := v.r.Read(ctx, p, b.table+at); err != nil {
			return err
		}
		if b.mirror != 0 {
			if err := v.r.Read(ctx, mirror[:n], b.mirror+at); err != nil {
				return err
			}
			// Behind the last cluster anything may stand.
			used := min(n, ((end-cluster)*int64(b.bits)+7)/8)
			if !bytes.Equal(p[:used], mirror[:used]) {
				return volume.Refuse("it is damaged: the two copies of its table differ; run a disk check")
			}
		}
		for k := int64(0); k < n*8/int64(b.bits) && cluster < end; k++ {
			if v.entry(p, k) == 0 {
				if cluster == b.root && b.bits == 32 || cluster < 2 {
					return volume.Refuse("it is damaged: its table calls the root directory free; run a disk check")
				}
				if err := out.Add(b.data+(cluster-2)*b.clusterSize, b.clusterSize); err != nil {
					return err
				}
			}
			cluster++
		}
	}
	return out.Flush()
}

// entry returns the k-th entry of a piece of the table.
func (v *Volume) entry(p []byte, k int64) uint32 {
	le := binary.LittleEndian
	switch v.boot.bits {
	case 12:
		return uint32(le.Uint16(p[k*3/2:])>>(k%2*4)) & 0xfff
	case 16:
		return uint32(le.Uint16(p[2*k:]))
	default:
		return le.Uint32(p[4*k:]) & 0x0fffffff
	}
}
