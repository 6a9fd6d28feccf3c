package ntfs

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const hibernationFile = "hiberfil.sys"

// judgeHibernation looks at the start of hiberfil.sys in the root directory. Fast startup hibernates as well.
func (v *Volume) judgeHibernation(ctx context.Context) error {
	root, err := v.system(ctx, fileRoot)
	if err != nil {
		return err
	}
	r, err := v.child(ctx, root, hibernationFile)
	if err != nil || r == nil {
		return err
	}
	s, err := v.dataOf(r)
	if err != nil {
		return err
	}
	p := make([]byte, min(s.size, 4096))
	if err := s.read(ctx, p, 0); err != nil {
		return err
	}
	if len(p) < 4 || strings.Trim(string(p), "\x00") == "" {
		return nil
	}
	switch sign := strings.ToLower(string(p[:4])); sign {
	case "wake", "rstr": // resumed since
		return nil
	case "hibr", "link":
		v.hibernated = true
		return volume.Refuse("Windows is hibernated on it; boot Windows once and shut down, fast startup off (powercfg /h off)")
	}
	return volume.Refuse("whether Windows is hibernated on it cannot be told by its %s; switch hibernation off (powercfg /h off) and shut down", hibernationFile)
}

// child reads the record of what a directory calls name, in lower-case ASCII, or returns nil where there is no such.
func (v *Volume) child(ctx context.Context, directory *record, name string) (*record, error) {
	ref, err := v.lookup(ctx, directory, name)
	if err != nil || ref == 0 {
		return nil, err
	}
	r, err := v.record(ctx, int64(ref&(1<<48-1)), name)
	if err == nil && r.sequence != uint16(ref>>48) {
		err = volume.Refuse("it is damaged: %s lists a %s that is not there; run chkdsk", directory.what, name)
	}
	return r, err
}

// maxIndex caps a directory's index, in bytes: half a million files.
const maxIndex = 64 << 20

// lookup finds a name, which is in lower-case ASCII, in the directory of record r, whatever its case there, and returns the reference to its record,
// or 0. It looks at all index blocks in use rather than to follow the tree, whose order depends on a table of the volume.
func (v *Volume) lookup(ctx context.Context, r *record, name string) (uint64, error) {
	const index = "$I30"
	root := r.find(attrIndexRoot, index)
	if err := r.whole(); err != nil {
		return 0, err
	}
	if root == nil || len(root.value) < 0x20 {
		return 0, errIndex
	}
	ref, err := search(root.value[0x10:], name)
	allocation, used := r.find(attrIndexAllocation, index), r.find(attrBitmap, index)
	if err != nil || ref != 0 || allocation == nil {
		return ref, err
	}
	if used == nil {
		return 0, errIndex
	}
	blocks, err := v.stream(r, allocation)
	if err != nil {
		return 0, err
	}
	bits, err := v.stream(r, used)
	if err != nil {
		return 0, err
	}
	size := int64(binary.LittleEndian.Uint32(root.value[8:]))
	if size < 512 || size > 64<<10 || size&(size-1) != 0 || blocks.size > maxIndex || bits.size > maxIndex/512 {
		return 0, errIndex
	}
	bitmap := make([]byte, bits.size)
	if err := bits.read(ctx, bitmap, 0); err != nil {
		return 0, err
	}
	p := make([]byte, size)
	for n := int64(0); (n+1)*size <= blocks.size; n++ {
		if n/8 >= int64(len(bitmap)) || bitmap[n/8]>>(n%8)&1 == 0 {
			continue
		}
		if err := blocks.read(ctx, p, n*size); err != nil {
			return 0, err
		}
		if err := fixup(p, "INDX", "an index block of "+r.what); err != nil {
			return 0, err
		}
		if ref, err := search(p[0x18:], name); err != nil || ref != 0 {
			return ref, err
		}
	}
	return 0, nil
}

var errIndex = volume.Refuse("it is damaged: a directory's index cannot be read; run chkdsk")

// search goes through the entries behind an index header.
func search(p []byte, name string) (uint64, error) {
	const last = 2
	le := binary.LittleEndian
	if len(p) < 16 {
		return 0, errIndex
	}
	for at := int64(le.Uint32(p)); ; {
		if at < 16 || at > int64(len(p))-16 {
			return 0, errIndex
		}
		e := p[at:]
		length, key := int64(le.Uint16(e[8:])), int64(le.Uint16(e[10:]))
		if le.Uint16(e[12:])&last != 0 {
			return 0, nil
		}
		if length < 16 || length > int64(len(e)) || key > length-16 || key < 0x42 {
			return 0, errIndex
		}
		fileName := e[16 : 16+key]
		if n := 2 * int64(fileName[0x40]); 0x42+n > key {
			return 0, errIndex
		} else if same(fileName[0x42:0x42+n], name) {
			return le.Uint64(e), nil
		}
		at += length
	}
}

// same compares a name in UTF-16 with one in lower-case ASCII.
func same(utf16 []byte, name string) bool {
	if len(utf16) != 2*len(name) {
		return false
	}
	for k := range len(name) {
		c := binary.LittleEndian.Uint16(utf16[2*k:])
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != uint16(name[k]) {
			return false
		}
	}
	return true
}
