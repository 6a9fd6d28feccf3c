package ntfs

import (
	"context"
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// run is a piece of a stream: clusters of the volume, or a hole.
type run struct {
	first, count int64 // clusters
	hole         bool
}

// stream is an attribute's contents.
type stream struct {
	v     *Volume
	what  string
	value []byte // if resident
	runs  []run
	// size is what it has, init how much of that was ever written; the rest reads as zeroes. Bytes.
	size, init int64
}

// stream returns the contents of an attribute. Of one that goes on in further records, the first part is there.
func (v *Volume) stream(r *record, a *attr) (*stream, error) {
	s := &stream{v: v, what: r.what, value: a.value, size: int64(len(a.value)), init: int64(len(a.value))}
	if a.resident {
		return s, nil
	}
	broken := volume.Refuse("it is damaged: where %s lies cannot be read; run chkdsk", r.what)
	h, le := a.header, binary.LittleEndian
	if len(h) < 0x40 || le.Uint64(h[0x10:]) != 0 {
		return nil, broken
	}
	if a.flags&(flagCompressed|flagEncrypted) != 0 {
		return nil, volume.Refuse("%s is compressed or encrypted", r.what)
	}
	highest, size, init := le.Uint64(h[0x18:]), le.Uint64(h[0x30:]), le.Uint64(h[0x38:])
	runs, err := v.runs(h, int(le.Uint16(h[0x20:])), r.what)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, r := range runs {
		total += r.count
	}
	// An empty attribute has -1 as its highest cluster.
	if highest+1 != uint64(total) || init > size || size >= 1<<62 {
		return nil, broken
	}
	s.runs, s.size, s.init = runs, int64(size), int64(init)
	return s, nil
}

// runs decodes the mapping pairs at a place of an attribute: a byte with the sizes of two numbers, the length and, relative to the run
// before, the first cluster. Without the latter the run is a hole.
func (v *Volume) runs(h []byte, at int, what string) (runs []run, err error) {
	broken := volume.Refuse("it is damaged: where %s lies cannot be read; run chkdsk", what)
	lcn, total := int64(0), int64(0)
	for {
		if at < 0x40 || at >= len(h) {
			return nil, broken
		}
		if h[at] == 0 {
			return runs, nil
		}
		n, m := int(h[at]&15), int(h[at]>>4)
		at++
		if n < 1 || n > 8 || m > 8 || at+n+m > len(h) {
			return nil, broken
		}
		r := run{count: signed(h[at : at+n]), hole: m == 0}
		if !r.hole {
			lcn += signed(h[at+n : at+n+m])
			r.first = lcn
		}
		at += n + m
		if r.count < 1 || r.count > maxClusters || !r.hole && (lcn < 0 || lcn > v.boot.clusters || r.count > v.boot.clusters-lcn) {
			return nil, broken
		}
		if total += r.count; total > 1<<40 {
			return nil, broken
		}
		runs = append(runs, r)
	}
}

// signed decodes a little-endian number of up to eight bytes.
func signed(p []byte) int64 {
	n := int64(int8(p[len(p)-1]))
	for k := len(p) - 2; k >= 0; k-- {
		n = n<<8 | int64(p[k])
	}
	return n
}

// read fills p from off, which with its length must lie within the stream.
func (s *stream) read(ctx context.Context, p []byte, off int64) error {
	if off < 0 || off > s.size || int64(len(p)) > s.size-off {
		return volume.Refuse("it is damaged: %s ends early; run chkdsk", s.what)
	}
	if s.runs == nil {
		if s.value == nil && len(p) > 0 {
			return volume.Refuse("it is damaged: %s has a size but no clusters; run chkdsk", s.what)
		}
		copy(p, s.value[off:])
		return nil
	}
	if off+int64(len(p)) > s.init {
		written := max(0, s.init-off)
		clear(p[written:])
		p = p[:written]
	}
	size := s.v.boot.clusterSize
	at := int64(0) // where the run starts within the stream
	for _, r := range s.runs {
		if len(p) == 0 {
			return nil
		}
		if end := at + r.count*size; off < end {
			n := min(int64(len(p)), end-off)
			if r.hole {
				clear(p[:n])
			} else if err := s.v.r.Read(ctx, p[:n], r.first*size+off-at); err != nil {
				return err
			}
			p, off = p[n:], off+n
		}
		at += r.count * size
	}
	if len(p) > 0 {
		return volume.Refuse("%s goes on in a part of the MFT that is not read; defragment the volume", s.what)
	}
	return nil
}
