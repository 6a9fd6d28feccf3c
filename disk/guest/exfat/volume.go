package exfat

import (
	"context"
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const bootSize = 512

// Volume is an exFAT file system.
type Volume struct {
	r           volume.Reader
	table       int64 // where the FAT starts, bytes
	heap        int64 // where cluster 2 starts, bytes
	clusterSize int64
	clusters    int64
	root        int64   // cluster
	kept        []int64 // clusters of the root directory and of the bitmap
	bitmap      []int64 // clusters of the bitmap, in order
}

// Name is "exfat".
func (v *Volume) Name() string { return "exfat" }

// Claims says whether head, the start of a volume, is an exFAT boot sector.
func Claims(head []byte) bool { return len(head) >= bootSize && string(head[3:11]) == "EXFAT   " }

// Open judges a volume and finds its allocation bitmap. It refuses with a [volume.Refusal].
func Open(ctx context.Context, r volume.Reader) (*Volume, error) {
	v := &Volume{r: r}
	if err := v.parse(ctx); err != nil {
		return nil, err
	}
	if err := v.findBitmap(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

// Volume flags.
const (
	flagActiveFAT = 1
	flagDirty     = 2
	flagFailure   = 4
)

func (v *Volume) parse(ctx context.Context) error {
	p := make([]byte, bootSize)
	if err := v.r.Read(ctx, p, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	sectorShift, clusterShift := p[0x6c], p[0x6d]
	if sectorShift < 9 || sectorShift > 12 || clusterShift > 25-sectorShift {
		return volume.Refuse("its boot sector is damaged: the sizes of sectors or clusters cannot be")
	}
	sector := int64(1) << sectorShift
	if err := v.checksum(ctx, sector); err != nil {
		return err
	}
	total := le.Uint64(p[0x48:])
	table, tableLength := int64(le.Uint32(p[0x50:])), int64(le.Uint32(p[0x54:]))
	heap, flags := int64(le.Uint32(p[0x58:])), le.Uint16(p[0x6a:])
	v.clusters, v.root = int64(le.Uint32(p[0x5c:])), int64(le.Uint32(p[0x60:]))
	v.clusterSize = sector << clusterShift
	v.table, v.heap = table*sector, heap*sector
	switch {
	case le.Uint16(p[0x68:])>>8 != 1 || p[0x6e] != 1 || flags&flagActiveFAT != 0:
		return volume.Refuse("it is a kind of exFAT that is not known (transactional or newer)")
	case total > uint64(v.r.Size/sector):
		return volume.Refuse("its boot sector is damaged, or it is cut off: it should have %d sectors of %d bytes, more than the partition", total, sector)
	case v.clusters < 1 || v.clusters > 0xfffffff5 || (v.clusters+2)*4 > tableLength*sector || table < 24 || table+tableLength > heap ||
		heap > int64(total) || v.clusters > (int64(total)-heap)>>clusterShift:
		return volume.Refuse("its boot sector is damaged: its parts do not fit into each other")
	case flags&flagDirty != 0:
		return volume.Refuse("it was not cleanly unmounted; boot the guest, let it check the disk, and shut it down")
	case flags&flagFailure != 0:
		return volume.Refuse("the guest met errors in it; let it check the disk")
	}
	return nil
}

// checksum sums up the boot region: eleven sectors, of which the twelfth repeats the sum. The flags and the percentage in use are not
// part of it.
func (v *Volume) checksum(ctx context.Context, sector int64) error {
	p := make([]byte, 12*sector)
	if err := v.r.Read(ctx, p, 0); err != nil {
		return err
	}
	sum := uint32(0)
	for k, b := range p[:11*sector] {
		if k != 106 && k != 107 && k != 112 {
			sum = sum<<31 | sum>>1
			sum += uint32(b)
		}
	}
	if sum != binary.LittleEndian.Uint32(p[11*sector:]) {
		return volume.Refuse("its boot sector is damaged: it has a wrong checksum")
	}
	return nil
}

// maxRoot caps how far the root directory is read for the bitmap's entry, which formatting programs put at its start, in bytes.
const maxRoot = 1 << 20

// findBitmap looks for the allocation bitmap in the root directory.
func (v *Volume) findBitmap(ctx context.Context) error {
	const (
		entrySize   = 32
		entryEnd    = 0x00
		entryBitmap = 0x81
	)
	root, err := v.chain(ctx, v.root, max(1, maxRoot/v.clusterSize), true)
	if err != nil {
		return err
	}
	v.kept = root
	p := make([]byte, min(v.clusterSize, maxRoot))
	for _, c := range root {
		if err := v.r.Read(ctx, p, v.offset(c)); err != nil {
			return err
		}
		for e := p; len(e) > 0; e = e[entrySize:] {
			switch e[0] {
			case entryEnd:
				return volume.Refuse("it is damaged: it has no allocation bitmap; run a disk check")
			case entryBitmap:
				first, length := int64(binary.LittleEndian.Uint32(e[20:])), binary.LittleEndian.Uint64(e[24:])
				if e[1]&1 != 0 || length < uint64(v.clusters+7)/8 || length > uint64(v.clusters+7)/8+uint64(v.clusterSize) {
					return volume.Refuse("it is damaged: its allocation bitmap has %d bytes for %d clusters; run a disk check", length, v.clusters)
				}
				v.bitmap, err = v.chain(ctx, first, ((v.clusters+7)/8+v.clusterSize-1)/v.clusterSize, false)
				v.kept = append(v.kept, v.bitmap...)
				return err
			}
		}
	}
	return volume.Refuse("it is damaged: it has no allocation bitmap at the start of its root directory; run a disk check")
}

// chain follows the FAT from a cluster on, for count clusters; a chain that ends before is an error unless it may be short.
func (v *Volume) chain(ctx context.Context, first, count int64, short bool) (clusters []int64, err error) {
	const last = 0xffffffff
	var p [4]byte
	for c := first; ; {
		if c < 2 || c >= v.clusters+2 {
			return nil, volume.Refuse("it is damaged: its FAT leads to cluster %d of %d; run a disk check", c, v.clusters)
		}
		if clusters = append(clusters, c); int64(len(clusters)) == count {
			return clusters, nil
		}
		if err := v.r.Read(ctx, p[:], v.table+4*c); err != nil {
			return nil, err
		}
		if c = int64(binary.LittleEndian.Uint32(p[:])); c == last && short {
			return clusters, nil
		}
	}
}

// offset is where a cluster starts, in bytes.
func (v *Volume) offset(cluster int64) int64 { return v.heap + (cluster-2)*v.clusterSize }
