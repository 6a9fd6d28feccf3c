// Package registry reads the hives of a Windows registry as far as it takes to find a number and where it lies, so that it can be changed in
// place. A hive was written by a guest: offsets are checked, lists are bounded by their cells, and nothing is followed twice.
package registry

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// MaxSize bounds a hive, in bytes. Those of Windows 11 have some 30 MiB.
const MaxSize = 256 << 20

var (
	// ErrDamaged says that a hive contradicts itself.
	ErrDamaged = errors.New("the registry hive is damaged")
	// ErrUnfinished says that a hive has to be completed from its log first, which Windows does when it starts.
	ErrUnfinished = errors.New("the registry is not finished, since Windows was not shut down; start it once where it ran before, and shut it down")
	// ErrNoKey says that there is no such key.
	ErrNoKey = errors.New("there is no such key in the registry")
)

const (
	headerSize = 4096 // the base block; cells count from its end
	rootCell   = 0x24

	typeDWORD  = 4
	inline     = 1 << 31 // in a value's length: the data lies in the value itself
	asciiKey   = 0x20
	asciiValue = 1
)

var le = binary.LittleEndian

// Hive is a hive in memory.
type Hive struct{ b []byte }

// Open checks the base block of a hive and returns it. It keeps b.
func Open(b []byte) (*Hive, error) {
	if len(b) < headerSize || string(b[:4]) != "regf" {
		return nil, ErrDamaged
	}
	if le.Uint32(b[4:]) != le.Uint32(b[8:]) {
		return nil, ErrUnfinished
	}
	return &Hive{b}, nil
}

// Key is a key of a hive.
type Key struct {
	h    *Hive
	cell []byte
}

// cell returns the contents of an allocated cell of at least n bytes, and where they begin in the hive.
func (h *Hive) cell(off uint32, n int) ([]byte, int64, error) {
	at := int64(off) + headerSize
	if off%4 != 0 || at+4 > int64(len(h.b)) {
		return nil, 0, ErrDamaged
	}
	size := -int64(int32(le.Uint32(h.b[at:])))
	if size < 4+int64(n) || at+size > int64(len(h.b)) {
		return nil, 0, ErrDamaged
	}
	return h.b[at+4 : at+size], at + 4, nil
}

func (h *Hive) key(off uint32) (*Key, error) {
	const nameAt = 0x4c
	c, _, err := h.cell(off, nameAt)
	if err != nil {
		return nil, err
	}
	if string(c[:2]) != "nk" || nameAt+int(le.Uint16(c[0x48:])) > len(c) {
		return nil, ErrDamaged
	}
	return &Key{h, c}, nil
}

// Key returns a key by its path from the root, whatever the case.
func (h *Hive) Key(path ...string) (*Key, error) {
	k, err := h.key(le.Uint32(h.b[rootCell:]))
	for _, name := range path {
		if err != nil {
			return nil, err
		}
		k, err = k.Subkey(name)
	}
	return k, err
}

// text decodes a name.
func text(p []byte, ascii bool) string {
	if ascii {
		r := make([]rune, len(p))
		for i, c := range p {
			r[i] = rune(c)
		}
		return string(r)
	}
	u := make([]uint16, len(p)/2)
	for i := range u {
		u[i] = le.Uint16(p[2*i:])
	}
	return string(utf16.Decode(u))
}

func (k *Key) name() string {
	return text(k.cell[0x4c:][:le.Uint16(k.cell[0x48:])], le.Uint16(k.cell[2:])&asciiKey != 0)
}

// Subkey returns a key below k, or ErrNoKey.
func (k *Key) Subkey(name string) (*Key, error) {
	if le.Uint32(k.cell[0x14:]) == 0 {
		return nil, ErrNoKey
	}
	return k.h.find(le.Uint32(k.cell[0x1c:]), name, true)
}

// find looks for a key in a list of subkeys; nested says that the list may be one of lists.
func (h *Hive) find(list uint32, name string, nested bool) (*Key, error) {
	c, _, err := h.cell(list, 4)
	if err != nil {
		return nil, err
	}
	stride := 4
	lists := false
	switch string(c[:2]) {
	case "lf", "lh":
		stride = 8
	case "li":
	case "ri":
		lists = true
	default:
		return nil, ErrDamaged
	}
	n := int(le.Uint16(c[2:]))
	if 4+n*stride > len(c) || lists && !nested {
		return nil, ErrDamaged
	}
	for i := range n {
		off := le.Uint32(c[4+i*stride:])
		var k *Key
		if lists {
			k, err = h.find(off, name, false)
		} else if k, err = h.key(off); err == nil && !strings.EqualFold(k.name(), name) {
			err = ErrNoKey
		}
		if !errors.Is(err, ErrNoKey) {
			return k, err
		}
	}
	return nil, ErrNoKey
}

// Number is a value of type REG_DWORD.
type Number struct {
	Name  string
	Value uint32
	// Offset is where its four bytes lie in the hive, little endian.
	Offset int64
}

// Numbers returns the values of k that are numbers.
func (k *Key) Numbers() ([]Number, error) {
	n := int(le.Uint32(k.cell[0x24:]) & 0xffffff)
	if n == 0 {
		return nil, nil
	}
	list, _, err := k.h.cell(le.Uint32(k.cell[0x28:]), 4*n)
	if err != nil {
		return nil, err
	}
	var all []Number
	for i := range n {
		const nameAt = 0x14
		c, at, err := k.h.cell(le.Uint32(list[4*i:]), nameAt)
		if err != nil {
			return nil, err
		}
		size := int(le.Uint16(c[2:]))
		if string(c[:2]) != "vk" || nameAt+size > len(c) {
			return nil, ErrDamaged
		}
		if le.Uint32(c[0xc:]) == typeDWORD && le.Uint32(c[4:]) == inline|4 {
			all = append(all, Number{text(c[nameAt:][:size], le.Uint16(c[0x10:])&asciiValue != 0), le.Uint32(c[8:]), at + 8})
		}
	}
	return all, nil
}

// Number returns a value of k by its name, whatever the case; ok is false where there is no such number.
func (k *Key) Number(name string) (n Number, ok bool, err error) {
	all, err := k.Numbers()
	for _, n := range all {
		if strings.EqualFold(n.Name, name) {
			return n, true, err
		}
	}
	return n, false, err
}
