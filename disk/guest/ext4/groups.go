package ext4

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// run is a range of blocks.
type run struct{ first, count int64 }

// group is a group descriptor.
type group struct {
	bitmap, inodeBitmap, inodes int64  // blocks
	free                        int64  // clusters
	uninit                      bool   // the bitmap was never written
	sum                         uint32 // of the bitmap, as many bits as the descriptor has room for
}

const flagBlockUninit = 2

// eachGroup calls do for every group descriptor, in order.
func (v *Volume) eachGroup(ctx context.Context, do func(g int64, d group) error) error {
	s := &v.super
	perBlock := s.blockSize / s.descSize
	p := make([]byte, s.blockSize)
	for g := range s.groups {
		if g%perBlock == 0 {
			if err := v.r.Read(ctx, p, s.descBlock(g/perBlock)*s.blockSize); err != nil {
				return err
			}
		}
		d, err := s.group(g, p[g%perBlock*s.descSize:][:s.descSize])
		if err != nil {
			return err
		}
		if err := do(g, d); err != nil {
			return err
		}
	}
	return nil
}

// descBlock is where the n-th block of descriptors lies: behind the superblock or, with meta_bg, in the first of the groups that it describes.
func (s *superblock) descBlock(n int64) int64 {
	if s.incompat&incompatMetaBG == 0 || n < s.firstMetaBG {
		return s.first + 1 + n
	}
	g := n * (s.blockSize / s.descSize)
	block := s.first + g*s.perGroup
	if s.hasSuper(g) {
		block++
	}
	return block
}

// group parses and checks a descriptor.
func (s *superblock) group(g int64, p []byte) (d group, err error) {
	le := binary.LittleEndian
	var number [4]byte
	le.PutUint32(number[:], uint32(g))
	want, got := le.Uint16(p[0x1e:]), le.Uint16(p[0x1e:])
	switch {
	case s.ro&roMetadataCsum != 0:
		c := crc32c(crc32c(s.seed, number[:]), p[:0x1e])
		c = crc32c(crc32c(c, []byte{0, 0}), p[0x20:])
		got = uint16(c)
	case s.ro&roGDTCsum != 0:
		got = crc16(crc16(crc16(s.crc16, number[:]), p[:0x1e]), p[0x20:])
	}
	if got != want {
		return d, volume.Refuse("it is damaged: the descriptor of block group %d has a wrong checksum; run e2fsck", g)
	}
	d.bitmap, d.inodeBitmap, d.inodes = int64(le.Uint32(p)), int64(le.Uint32(p[4:])), int64(le.Uint32(p[8:]))
	d.free = int64(le.Uint16(p[0xc:]))
	d.sum = uint32(le.Uint16(p[0x18:]))
	if s.incompat&incompat64 != 0 {
		d.bitmap |= int64(le.Uint32(p[0x20:])) << 32
		d.inodeBitmap |= int64(le.Uint32(p[0x24:])) << 32
		d.inodes |= int64(le.Uint32(p[0x28:])) << 32
		d.free |= int64(le.Uint16(p[0x2c:])) << 16
		d.sum |= uint32(le.Uint16(p[0x38:])) << 16
	}
	d.uninit = s.ro&(roMetadataCsum|roGDTCsum) != 0 && le.Uint16(p[0x12:])&flagBlockUninit != 0
	for _, r := range []run{{d.bitmap, 1}, {d.inodeBitmap, 1}, {d.inodes, s.inodeBlocks}} {
		if r.first <= s.first || r.first > s.blocks-r.count {
			return d, volume.Refuse("it is damaged: block group %d has its tables at block %d, outside the volume; run e2fsck", g, r.first)
		}
	}
	return d, nil
}

// hasSuper says whether a group starts with a copy of the superblock.
func (s *superblock) hasSuper(g int64) bool {
	switch {
	case g == 0:
		return true
	case s.compat&compatSparseSuper2 != 0:
		return g == s.backups[0] || g == s.backups[1]
	case g == 1 || s.ro&roSparseSuper == 0:
		return true
	}
	for _, base := range []int64{3, 5, 7} {
		n := base
		for n < g {
			n *= base
		}
		if n == g {
			return true
		}
	}
	return false
}

// copies is how many blocks at the start of a group hold copies of the superblock and of descriptors, with what is kept for more of these.
func (s *superblock) copies(g int64) int64 {
	n := int64(0)
	if s.hasSuper(g) {
		n = 1
	}
	perBlock := s.blockSize / s.descSize
	if s.incompat&incompatMetaBG != 0 && g/perBlock >= s.firstMetaBG {
		if k := g % perBlock; k == 0 || k == 1 || k == perBlock-1 {
			n++
		}
		return n
	}
	if n == 0 {
		return 0
	}
	if s.incompat&incompatMetaBG != 0 {
		return n + s.firstMetaBG + s.reservedDesc
	}
	return n + (s.groups+perBlock-1)/perBlock + s.reservedDesc
}

// tables returns where the file system's own tables lie, ascending and joined.
func (v *Volume) tables(ctx context.Context) ([]run, error) {
	s := &v.super
	var runs []run
	// Most lie behind one another, and are joined at once to keep the list short.
	add := func(r run) {
		if last := len(runs) - 1; last >= 0 && runs[last].first+runs[last].count == r.first {
			runs[last].count += r.count
		} else if r.count > 0 {
			runs = append(runs, r)
		}
	}
	bitmaps := make([]run, 0, 3)
	err := v.eachGroup(ctx, func(g int64, d group) error {
		start := s.first + g*s.perGroup
		add(run{start, min(s.copies(g), s.blocks-start)})
		bitmaps = append(bitmaps[:0], run{d.bitmap, 1}, run{d.inodeBitmap, 1}, run{d.inodes, s.inodeBlocks})
		slices.SortFunc(bitmaps, func(a, b run) int { return cmp.Compare(a.first, b.first) })
		for _, r := range bitmaps {
			add(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	joined := runs[:0]
	for _, r := range runs {
		if last := len(joined) - 1; last >= 0 && joined[last].first+joined[last].count >= r.first {
			joined[last].count = max(joined[last].count, r.first+r.count-joined[last].first)
		} else {
			joined = append(joined, r)
		}
	}
	return joined, nil
}
