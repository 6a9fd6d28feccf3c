package ntfs

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// Types of attributes.
const (
	attrList            = 0x20
	attrVolumeInfo      = 0x70
	attrData            = 0x80
	attrIndexRoot       = 0x90
	attrIndexAllocation = 0xa0
	attrBitmap          = 0xb0
	attrEnd             = 0xffffffff
)

// Attribute flags that have the data stored otherwise than plainly.
const (
	flagCompressed = 0x00ff
	flagEncrypted  = 0x4000
)

// fixup restores the last two bytes of each 512 of a record or index block, which were swapped for a number that tells torn writes.
func fixup(p []byte, magic, what string) error {
	le := binary.LittleEndian
	if len(p) < 512 || string(p[:4]) != magic {
		return volume.Refuse("it is damaged: %s does not start with %s; run chkdsk", what, magic)
	}
	at, count := int(le.Uint16(p[4:])), int(le.Uint16(p[6:]))
	if count != len(p)/512+1 || at < 8 || at+2*count > 510 {
		return volume.Refuse("it is damaged: %s has no proper update sequence; run chkdsk", what)
	}
	usa := p[at:]
	for k := 1; k < count; k++ {
		end := p[512*k-2 : 512*k]
		if end[0] != usa[0] || end[1] != usa[1] {
			return volume.Refuse("it is damaged: %s was torn when it was written; run chkdsk", what)
		}
		copy(end, usa[2*k:2*k+2])
	}
	return nil
}

// record is a FILE record.
type record struct {
	what     string
	sequence uint16
	inUse    bool
	attrs    []attr
}

// attr is an attribute's header and, if it is resident, its value.
type attr struct {
	kind     uint32
	name     string
	flags    uint16
	value    []byte // if resident
	resident bool
	header   []byte // all of it, for what is not resident
}

// parseRecord takes a FILE record apart, changing p.
func parseRecord(p []byte, what string) (*record, error) {
	if err := fixup(p, "FILE", what); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	r := &record{what: what, sequence: le.Uint16(p[0x10:]), inUse: le.Uint16(p[0x16:])&1 != 0}
	broken := volume.Refuse("it is damaged: the attributes of %s cannot be read; run chkdsk", what)
	for at := int(le.Uint16(p[0x14:])); ; {
		if at < 0x18 || at+4 > len(p) {
			return nil, broken
		}
		kind := le.Uint32(p[at:])
		if kind == attrEnd {
			return r, nil
		}
		if at+0x18 > len(p) {
			return nil, broken
		}
		length := le.Uint32(p[at+4:])
		if length < 0x18 || length%8 != 0 || int64(length) > int64(len(p)-at) {
			return nil, broken
		}
		h := p[at : at+int(length)]
		at += int(length)
		a := attr{kind: kind, flags: le.Uint16(h[0xc:]), resident: h[8] == 0, header: h}
		nameAt, nameEnd := int(le.Uint16(h[0xa:])), int(le.Uint16(h[0xa:]))+2*int(h[9])
		if nameEnd > len(h) {
			return nil, broken
		}
		for k := nameAt; k < nameEnd; k += 2 {
			a.name += string(rune(le.Uint16(h[k:])))
		}
		if a.resident {
			size, from := int64(le.Uint32(h[0x10:])), int64(le.Uint16(h[0x14:]))
			if from > int64(len(h)) || size > int64(len(h))-from {
				return nil, broken
			}
			a.value = h[from : from+size]
		}
		r.attrs = append(r.attrs, a)
	}
}

// find returns an attribute by type and name, or nil.
func (r *record) find(kind uint32, name string) *attr {
	for k := range r.attrs {
		if a := &r.attrs[k]; a.kind == kind && a.name == name {
			return a
		}
	}
	return nil
}

// whole refuses a record whose attributes are spread over further ones.
func (r *record) whole() error {
	if r.find(attrList, "") != nil {
		return volume.Refuse("%s is so fragmented that it needs an attribute list, which is not read; defragment the volume", r.what)
	}
	return nil
}
