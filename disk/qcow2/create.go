package qcow2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// defaultCluster is what qemu uses.
const defaultCluster = 64 << 10

// Create makes a disk of o.Size bytes, above o.Parent if that is given; path must not exist. Variants are "v3" (the default) and "v2", for
// old readers. The block size is that of the clusters, a power of two from 512 bytes to 2 MiB.
func Create(path string, o disk.CreateOptions) error {
	h, err := newHeader(path, o)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return o.Fill(path, h.write)
}

// newHeader returns the header of a new disk, with all but the places of the tables.
func newHeader(path string, o disk.CreateOptions) (*header, error) {
	h := &header{version: 3, refOrder: 4, length: headerNew, size: o.Size}
	switch o.Variant {
	case "", "v3":
	case "v2":
		h.version, h.length = 2, headerV2
	default:
		return nil, fmt.Errorf("a qcow2 is of version v3 or v2, not %q", o.Variant)
	}
	if o.Parent != "" {
		parent, err := h.base(path, o)
		if err != nil {
			return nil, err
		}
		if h.size == 0 {
			h.size = parent.Size
		}
	}
	block := o.BlockSize
	if block == 0 {
		block = defaultCluster
	}
	h.clusterBits = uint(bits.TrailingZeros64(uint64(block)))
	switch {
	case block != 1<<h.clusterBits || h.clusterBits < minBits || h.clusterBits > maxBits:
		return nil, fmt.Errorf("cluster size %d is not a power of two from %d to %d", block, 1<<minBits, 1<<maxBits)
	case h.size < 0 || h.size%sectorSize != 0:
		return nil, fmt.Errorf("a size of %d bytes is not a multiple of %d", h.size, sectorSize)
	}
	return h, h.fits()
}

// fits says whether a disk can be as large as the header says.
func (h *header) fits() error {
	if h.size > 1<<62 || h.tables()*8 > maxL1Bytes || h.tables()*h.clusterSize()>>min(h.clusterBits, pieceBits) > maxPieces {
		return fmt.Errorf("a disk of %d bytes needs clusters larger than %d bytes", h.size, h.clusterSize())
	}
	return nil
}

// base records the parent, and returns what that says of itself.
func (h *header) base(path string, o disk.CreateOptions) (disk.Info, error) {
	parent, name, err := chain.Base(path, o, own)
	if err != nil {
		return disk.Info{}, err
	}
	info := parent.Info()
	parent.Close() // it was only read
	if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ":") {
		name = "./" + name // qemu would take what precedes the colon for a protocol
	}
	h.backing, h.backingType = name, info.Format
	for qemu, ours := range formatNames {
		if ours == h.backingType {
			h.backingType = qemu
		}
	}
	return info, nil
}

// write places the tables and writes them: header, refcount table, refcount blocks, L1 table.
func (h *header) write(file disk.File) error {
	h.l1Entries = h.tables()
	l1 := h.clustersFor(h.l1Entries * 8)
	// The refcount table has room for a full disk.
	most := (h.clusters() + h.tables() + l1) * 17 / 16 / h.perBlock()
	h.refClusters = min(h.clustersFor((most+1)*8), maxRefTableBytes>>h.clusterBits)
	blocks := int64(1)
	used := func() int64 { return 1 + h.refClusters + blocks + l1 }
	for blocks*h.perBlock() < used() {
		blocks++
	}
	h.refTableAt = h.clusterSize()
	firstBlock := h.refTableAt + h.refClusters<<h.clusterBits
	h.l1At = firstBlock + blocks<<h.clusterBits

	first, err := h.encode()
	if err != nil {
		return err
	}
	table, counts := make([]int64, blocks), make([]byte, blocks<<h.clusterBits)
	for b := range table {
		table[b] = firstBlock + int64(b)<<h.clusterBits
	}
	for c := range used() {
		putCount(counts, h.refOrder, c, 1)
	}
	if err := file.Truncate(used() << h.clusterBits); err != nil {
		return err
	}
	for _, part := range []struct {
		at int64
		p  []byte
	}{{0, first}, {h.refTableAt, encode(table)}, {firstBlock, bytes.TrimRight(counts, "\x00")}} {
		if _, err := file.WriteAt(part.p, part.at); err != nil {
			return err
		}
	}
	return nil
}

// encode returns the header, its extensions, and the parent's name.
func (h *header) encode() ([]byte, error) {
	be := binary.BigEndian
	p := make([]byte, h.length)
	copy(p, magic)
	be.PutUint32(p[4:], h.version)
	be.PutUint32(p[20:], uint32(h.clusterBits))
	be.PutUint64(p[24:], uint64(h.size))
	be.PutUint32(p[36:], uint32(h.l1Entries))
	be.PutUint64(p[40:], uint64(h.l1At))
	be.PutUint64(p[refTableAt:], uint64(h.refTableAt))
	be.PutUint32(p[56:], uint32(h.refClusters))
	if h.version >= 3 {
		be.PutUint32(p[96:], uint32(h.refOrder))
		be.PutUint32(p[100:], uint32(h.length))
	}
	if h.backing != "" {
		p = appendExtension(p, extensionBacking, []byte(h.backingType))
	}
	p = append(p, make([]byte, 8)...) // the end of the extensions
	if h.backing != "" {
		be.PutUint64(p[8:], uint64(len(p)))
		be.PutUint32(p[16:], uint32(len(h.backing)))
		p = append(p, h.backing...)
	}
	if len(h.backing) > maxNameSize || int64(len(p)) > h.clusterSize() {
		return nil, fmt.Errorf("the parent's name %q is too long for clusters of %d bytes", h.backing, h.clusterSize())
	}
	return p, nil
}
