package vhdx

import (
	"encoding/binary"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

const (
	metadataSignature = "metadata"
	metadataTableSize = 64 * kib
	maxItems          = 2047
	maxItem           = mib

	minBlock = mib
	maxBlock = 256 * mib
	maxSize  = 64 << 40
)

// Bits of a metadata table entry.
const (
	itemUser     = 1 << 0
	itemDisk     = 1 << 1
	itemRequired = 1 << 2
)

var (
	itemParameters = mustGUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
	itemSize       = mustGUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
	itemID         = mustGUID("beca12ab-b2e6-4523-93ef-c309e000c746")
	itemLogical    = mustGUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
	itemPhysical   = mustGUID("cda348c7-445d-4471-9cc9-e9885251c556")
	itemParent     = mustGUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
)

// Bits of the file parameters.
const (
	leaveAllocated = 1 << 0
	hasParent      = 1 << 1
)

// metadata is what the known items say (2.6.2).
type metadata struct {
	size      int64 // bytes of the disk
	blockSize int64
	fixed     bool
	id        guid
	sector    int64 // logical
	physical  int64
	locator   *locator // nil without a parent
}

// item is where a metadata item lies in the file.
type item struct {
	at     int64
	length int
}

// readMetadata reads the items in region r.
func readMetadata(file disk.File, r region) (*metadata, error) {
	table := make([]byte, pageSize, metadataTableSize) // the start has room for all that is usual
	if err := disk.ReadFull(file, table, r.start, "metadata table"); err != nil {
		return nil, err
	}
	if 32+32*int(binary.LittleEndian.Uint16(table[10:])) > len(table) {
		table = table[:metadataTableSize]
		if err := disk.ReadFull(file, table[pageSize:], r.start+pageSize, "metadata table"); err != nil {
			return nil, err
		}
	}
	items, err := parseItems(file.Name(), table, r)
	if err != nil {
		return nil, err
	}
	m := &metadata{}
	var parent bool
	for _, k := range []struct {
		id   guid
		what string
		size int
		take func(p []byte)
	}{
		{itemParameters, "file parameters", 8, func(p []byte) {
			m.blockSize = int64(binary.LittleEndian.Uint32(p))
			flags := binary.LittleEndian.Uint32(p[4:])
			parent = flags&hasParent != 0
			m.fixed = flags&leaveAllocated != 0 && !parent
		}},
		{itemSize, "virtual disk size", 8, func(p []byte) { m.size = int64(binary.LittleEndian.Uint64(p)) }},
		{itemID, "virtual disk identifier", 16, func(p []byte) { m.id = guid(p) }},
		{itemLogical, "logical sector size", 4, func(p []byte) { m.sector = int64(binary.LittleEndian.Uint32(p)) }},
		{itemPhysical, "physical sector size", 4, func(p []byte) { m.physical = int64(binary.LittleEndian.Uint32(p)) }},
	} {
		i, ok := items[k.id]
		if !ok || i.length != k.size {
			return nil, disk.Corrupt(file.Name(), r.start, "the %s is missing or has a wrong length (%d bytes, should be %d)", k.what, i.length, k.size)
		}
		p := make([]byte, k.size)
		if err := disk.ReadFull(file, p, i.at, k.what); err != nil {
			return nil, err
		}
		k.take(p)
	}
	if err := m.validate(file.Name(), items); err != nil {
		return nil, err
	}
	if parent {
		m.locator, err = readLocator(file, r, items[itemParent])
	}
	return m, err
}

// parseItems returns the system's items by identifier, and refuses what has to be understood and is not.
func parseItems(name string, table []byte, r region) (map[guid]item, error) {
	le := binary.LittleEndian
	if string(table[:8]) != metadataSignature {
		return nil, disk.Corrupt(name, r.start, `no "metadata" signature`)
	}
	count := int(le.Uint16(table[10:]))
	if count > maxItems {
		return nil, disk.Corrupt(name, r.start+10, "a metadata table of %d entries (at most %d)", count, maxItems)
	}
	known := map[guid]bool{itemParameters: true, itemSize: true, itemID: true, itemLogical: true, itemPhysical: true, itemParent: true}
	items := map[guid]item{}
	for k := range count {
		e, field := table[32+32*k:], r.start+32+32*int64(k)
		id, offset, length, flags := guid(e[:16]), int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:])), le.Uint32(e[24:])
		empty := offset == 0 && length == 0
		if !empty && (offset < metadataTableSize || length > maxItem || offset+length > r.end-r.start) {
			return nil, disk.Corrupt(name, field+16, "metadata item %v (%d bytes at %d) leaves the metadata", id, length, offset)
		}
		if flags&itemUser != 0 || !known[id] {
			if flags&itemRequired != 0 {
				return nil, disk.Unsupported(name, field, "it has a metadata item %v that must be understood", id)
			}
			continue
		}
		if _, twice := items[id]; twice {
			return nil, disk.Corrupt(name, field, "metadata item %v is listed twice", id)
		}
		items[id] = item{r.start + offset, int(length)}
	}
	return items, nil
}

func (m *metadata) validate(name string, items map[guid]item) error {
	switch {
	case m.blockSize < minBlock || m.blockSize > maxBlock || bits.OnesCount64(uint64(m.blockSize)) != 1:
		return disk.Corrupt(name, items[itemParameters].at, "block size %d is not a power of two from %d to %d", m.blockSize, minBlock, maxBlock)
	case m.sector != 512 && m.sector != 4096:
		return disk.Corrupt(name, items[itemLogical].at, "a logical sector size of %d bytes (512 or 4096)", m.sector)
	case m.physical != 512 && m.physical != 4096:
		return disk.Corrupt(name, items[itemPhysical].at, "a physical sector size of %d bytes (512 or 4096)", m.physical)
	case m.size < 0 || m.size > maxSize || m.size%m.sector != 0:
		return disk.Corrupt(name, items[itemSize].at, "a disk of %d bytes in sectors of %d (at most 64 TiB)", uint64(m.size), m.sector)
	}
	return nil
}

// encode returns the metadata region of a new file, one MiB.
func (m *metadata) encode() []byte {
	le := binary.LittleEndian
	flags := uint32(0)
	if m.fixed {
		flags |= leaveAllocated
	}
	if m.locator != nil {
		flags |= hasParent
	}
	parameters := le.AppendUint32(le.AppendUint32(nil, uint32(m.blockSize)), flags)
	items := []struct {
		id    guid
		flags uint32
		data  []byte
	}{
		{itemParameters, itemRequired, parameters},
		{itemSize, itemRequired | itemDisk, le.AppendUint64(nil, uint64(m.size))},
		{itemID, itemRequired | itemDisk, m.id[:]},
		{itemLogical, itemRequired | itemDisk, le.AppendUint32(nil, uint32(m.sector))},
		{itemPhysical, itemRequired | itemDisk, le.AppendUint32(nil, uint32(m.physical))},
	}
	if m.locator != nil {
		items = append(items, struct {
			id    guid
			flags uint32
			data  []byte
		}{itemParent, itemRequired, m.locator.encode()})
	}
	p := make([]byte, mib)
	copy(p, metadataSignature)
	le.PutUint16(p[10:], uint16(len(items)))
	at := metadataTableSize
	for k, i := range items {
		e := p[32+32*k:]
		copy(e, i.id[:])
		le.PutUint32(e[16:], uint32(at))
		le.PutUint32(e[20:], uint32(len(i.data)))
		le.PutUint32(e[24:], i.flags)
		at += copy(p[at:], i.data)
	}
	return p
}
