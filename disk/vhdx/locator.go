package vhdx

import (
	"encoding/binary"
	"path"
	"slices"
	"strings"

	"github.com/sharevm/vmm/disk"
)

const (
	// maxLocator bounds the parent locator, in bytes. Windows' longest path takes 64 KiB, and there are three.
	maxLocator = 256 * kib
	// maxPairs bounds its entries; five are defined.
	maxPairs = 64
)

var locatorType = mustGUID("b04aefb7-d19e-4a81-b789-25b8e9445913")

// Keys of a parent locator (2.6.2.6.3).
const (
	keyLinkage  = "parent_linkage"
	keyLinkage2 = "parent_linkage2"
	keyRelative = "relative_path"
	keyVolume   = "volume_path"
	keyAbsolute = "absolute_win32_path"
)

// locator says who the parent is and where.
type locator struct {
	linkage []guid   // one of which the parent's DataWriteGuid must be
	names   []string // relative to the child's folder, with / between folders, in the order in which to try them
}

// readLocator reads the parent locator, item i of region r.
func readLocator(file disk.File, r region, i item) (*locator, error) {
	name := file.Name()
	if i.length < 20 || i.length > maxLocator {
		return nil, disk.Corrupt(name, r.start, "it has a parent, but its parent locator is missing or has %d bytes", i.length)
	}
	p := make([]byte, i.length)
	if err := disk.ReadFull(file, p, i.at, "parent locator"); err != nil {
		return nil, err
	}
	if t := guid(p[:16]); t != locatorType {
		return nil, disk.Unsupported(name, i.at, "a parent of type %v (only VHDX files are known)", t)
	}
	pairs, err := parsePairs(name, i.at, p)
	if err != nil {
		return nil, err
	}
	l := &locator{}
	for _, key := range []string{keyLinkage, keyLinkage2} {
		text, ok := pairs[key]
		if !ok {
			continue
		}
		g, ok := parseGUID(text)
		if !ok {
			return nil, disk.Corrupt(name, i.at, "%s is %q, not a GUID", key, text)
		}
		l.linkage = append(l.linkage, g)
	}
	if len(l.linkage) == 0 {
		return nil, disk.Corrupt(name, i.at, "the parent locator has no %s", keyLinkage)
	}
	if text := pairs[keyRelative]; text != "" {
		l.names = append(l.names, strings.TrimPrefix(strings.ReplaceAll(text, `\`, "/"), "./"))
	}
	for _, key := range []string{keyVolume, keyAbsolute} {
		if name := lastName(pairs[key]); name != "" && !slices.Contains(l.names, name) {
			l.names = append(l.names, name)
		}
	}
	return l, nil
}

func parsePairs(name string, at int64, p []byte) (map[string]string, error) {
	le := binary.LittleEndian
	count := int(le.Uint16(p[18:]))
	if count > maxPairs || 20+12*count > len(p) {
		return nil, disk.Corrupt(name, at+18, "a parent locator of %d entries", count)
	}
	text := func(offset uint32, length uint16) (string, bool) {
		if length%2 != 0 || uint64(offset)+uint64(length) > uint64(len(p)) {
			return "", false
		}
		return decodeUTF16(p[offset:][:length]), true
	}
	pairs := map[string]string{}
	for k := range count {
		e := p[20+12*k:]
		key, ok1 := text(le.Uint32(e), le.Uint16(e[8:]))
		value, ok2 := text(le.Uint32(e[4:]), le.Uint16(e[10:]))
		if !ok1 || !ok2 {
			return nil, disk.Corrupt(name, at+20+12*int64(k), "an entry of the parent locator leaves it")
		}
		pairs[strings.ToLower(key)] = value
	}
	return pairs, nil
}

// lastName is the file's own name in a Windows path. What drive or volume the rest names has no meaning here; the file may have come
// along to the child's folder, and its linkage will tell.
func lastName(path string) string {
	return path[strings.LastIndexAny(path, `\/`)+1:]
}

// encode returns the metadata item for the first of each.
func (l *locator) encode() []byte {
	le := binary.LittleEndian
	pairs := [][2]string{
		{keyLinkage, "{" + l.linkage[0].String() + "}"},
		{keyRelative, strings.ReplaceAll(l.names[0], "/", `\`)},
		// Some readers know no other path, and look for its last name only. Windows tries it last, and checks the linkage.
		{keyAbsolute, `\\?\C:\` + path.Base(l.names[0])},
	}
	head := append(append([]byte(nil), locatorType[:]...), 0, 0)
	head = le.AppendUint16(head, uint16(len(pairs)))
	at := uint32(20 + 12*len(pairs))
	var text []byte
	for _, kv := range pairs {
		key, value := encodeUTF16(kv[0]), encodeUTF16(kv[1])
		head = le.AppendUint32(head, at+uint32(len(text)))
		head = le.AppendUint32(head, at+uint32(len(text)+len(key)))
		head = le.AppendUint16(head, uint16(len(key)))
		head = le.AppendUint16(head, uint16(len(value)))
		text = append(append(text, key...), value...)
	}
	return append(head, text...)
}
