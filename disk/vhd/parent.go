package vhd

import (
	"encoding/binary"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// Fields of the dynamic disk header that only a differencing disk uses.
const (
	parentIDAt    = 40
	parentStampAt = 56
	parentNameAt  = 64
	parentNameLen = 512
	locatorsAt    = 576
	locators      = 8
	locatorSize   = 24
	// maxLocator bounds what a locator says, in bytes: twice Windows' longest path.
	maxLocator = 128 << 10
	// stampSlack is by how much two time stamps may differ, in seconds: FAT keeps even ones only.
	stampSlack = 2
)

// Platform codes of parent locators.
const (
	codeRelative = "W2ru" // UTF-16, relative
	codeAbsolute = "W2ku" // UTF-16, absolute
	codeOldWin   = "Wi2r" // of the time before UTF-16, relative
	codeMac      = "MacX" // a file URL in UTF-8
)

// link is what a differencing disk says about its parent.
type link struct {
	id    [16]byte
	stamp uint32   // seconds since epoch
	names []string // relative to the disk's folder, with / between folders, likeliest first
	areas []area   // where in the file locators lie
	// absolute is the whole path, of a link that is to be written.
	absolute string
}

// area is a range of the file.
type area struct{ start, end int64 }

// readLink reads the parent's identity and locators from a dynamic disk header at file offset at.
func readLink(file disk.File, p *[headerSize]byte, at, fileSize int64) (*link, error) {
	l := &link{id: [16]byte(p[parentIDAt:]), stamp: binary.BigEndian.Uint32(p[parentStampAt:])}
	found := map[string]string{}
	for n := range int64(locators) {
		field := at + locatorsAt + n*locatorSize
		e := p[field-at:][:locatorSize]
		code, length, offset := string(e[:4]), int64(binary.BigEndian.Uint32(e[8:])), binary.BigEndian.Uint64(e[16:])
		if code == "\x00\x00\x00\x00" || length == 0 {
			continue
		}
		if length > maxLocator || offset < footerSize || offset > uint64(fileSize) || length > fileSize-int64(offset) {
			return nil, disk.Corrupt(file.Name(), field, "parent locator %q (%d bytes at %d) leaves the file or is too long", code, length, offset)
		}
		raw := make([]byte, length)
		if err := disk.ReadFull(file, raw, int64(offset), "parent locator"); err != nil {
			return nil, err
		}
		l.areas = append(l.areas, area{int64(offset), int64(offset) + length})
		if _, twice := found[code]; !twice {
			found[code] = decodeLocator(code, raw)
		}
	}
	name := decodeUTF16(p[parentNameAt:][:parentNameLen], binary.BigEndian)
	// A drive or a folder of the host that made the disk has no meaning here; the file may have come along to the disk's folder.
	for _, hint := range []string{slashed(found[codeRelative]), lastName(found[codeAbsolute]), lastName(name), slashed(found[codeOldWin]), lastName(found[codeMac])} {
		if hint != "" && !slices.Contains(l.names, hint) {
			l.names = append(l.names, hint)
		}
	}
	return l, nil
}

func decodeLocator(code string, raw []byte) string {
	switch code {
	case codeRelative, codeAbsolute:
		return decodeUTF16(raw, binary.LittleEndian)
	}
	text, _, _ := strings.Cut(string(raw), "\x00")
	return text
}

// decodeUTF16 decodes text up to a NUL. The specification's byte order is not what all programs write: if in the other one more
// characters are of the first 256, which have a zero byte, that is taken.
func decodeUTF16(p []byte, usual binary.ByteOrder) string {
	var counts [2]int // of units with a zero as their first byte, and as their second
	for k := 0; k+1 < len(p) && (p[k] != 0 || p[k+1] != 0); k += 2 {
		for half := range counts {
			if p[k+half] == 0 {
				counts[half]++
			}
		}
	}
	order := usual
	if counts[0] > counts[1] {
		order = binary.BigEndian
	} else if counts[1] > counts[0] {
		order = binary.LittleEndian
	}
	var units []uint16
	for ; len(p) >= 2; p = p[2:] {
		u := order.Uint16(p)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func slashed(path string) string {
	return strings.TrimPrefix(strings.ReplaceAll(path, `\`, "/"), "./")
}

func lastName(path string) string { return path[strings.LastIndexAny(path, `\/`)+1:] }

// openParent opens the parent of a disk and checks that it is the one which the disk was made from.
func (i *Image) openParent(l *link, o disk.OpenOptions) (disk.Image, error) {
	child := i.info.Path
	parent, err := chain.Link{Child: child, Names: l.names, Format: "vhd", Own: openImage}.Open(o)
	if err != nil {
		return nil, err
	}
	p, ok := parent.(*Image)
	if !ok {
		parent.Close()
		return nil, disk.Corrupt(child, -1, "%s cannot be its parent: it is no VHD file", parent.Info().Path)
	}
	problem := l.mismatch(p)
	switch {
	case problem != "" && !o.AllowStaleParent:
		parent.Close()
		return nil, chain.Stale(child, p.info.Path, problem)
	case problem != "":
		i.info.Warnings = append(i.info.Warnings, "the parent has changed since this disk was made from it ("+problem+"); what is read may be nonsense")
	}
	i.info.Parent = p.info.Path
	i.info.Files = append(i.info.Files, p.info.Files...)
	return parent, nil
}

// path is where the parent of the disk at path child should be, or empty.
func (l *link) path(child string) string {
	if len(l.names) == 0 {
		return ""
	}
	path := filepath.FromSlash(l.names[0])
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(child), path)
}

// mismatch says how p shows that it is not, or no longer, the parent, or returns "".
func (l *link) mismatch(p *Image) string {
	if l.id != p.uniqueID {
		return fmt.Sprintf("recorded %s, found %s", formatID(l.id[:]), formatID(p.uniqueID[:]))
	}
	// Most programs record when the parent's file was changed last, some when the parent was created.
	if l.stamp != 0 && !near(l.stamp, p.changed) && !near(l.stamp, p.created) {
		return "recorded " + formatStamp(l.stamp) + " as the time of its last change, found " + formatStamp(p.changed)
	}
	return ""
}

func near(a, b uint32) bool { return max(a, b)-min(a, b) <= stampSlack }

func formatStamp(s uint32) string {
	return epoch.Add(time.Duration(s) * time.Second).Format(time.DateTime)
}

// changed is when a file was changed last, in seconds since epoch, or else, where its host does not say, when the disk was created.
func changed(file disk.File, f *footer) uint32 {
	if t, ok := disk.ModTime(file); ok && t.After(epoch) {
		return uint32(t.Sub(epoch) / time.Second)
	}
	return f.stamp()
}

// adopt returns the link of a disk at path to o.Parent, and what the parent is.
func adopt(path string, o disk.CreateOptions) (*link, disk.Info, error) {
	parent, name, err := chain.Base(path, o, openImage)
	if err != nil {
		return nil, disk.Info{}, err
	}
	defer parent.Close()
	p, ok := parent.(*Image)
	if !ok {
		return nil, disk.Info{}, fmt.Errorf("%w: the parent of a VHD must be a VHD, and %s is %s", disk.ErrUnsupported, o.Parent, parent.Info().Format)
	}
	absolute, err := filepath.Abs(o.Parent)
	if err != nil {
		return nil, disk.Info{}, err
	}
	return &link{id: p.uniqueID, stamp: p.changed, names: []string{name}, absolute: filepath.ToSlash(absolute)}, p.info, nil
}

// encode puts the link into a header, with locators that lie at file offset at, and returns those, in whole sectors.
func (l *link) encode(header []byte, at int64) []byte {
	l.clear(header)
	name := l.names[0]
	be := binary.BigEndian
	copy(header[parentIDAt:], l.id[:])
	be.PutUint32(header[parentStampAt:], l.stamp)
	units := utf16.Encode([]rune(path.Base(name)))
	for k, u := range units[:min(len(units), parentNameLen/2-1)] {
		be.PutUint16(header[parentNameAt+2*k:], u)
	}
	if !strings.HasPrefix(name, "../") {
		name = "./" + name
	}
	var all []byte
	for n, locator := range []struct{ code, path string }{{codeRelative, name}, {codeAbsolute, l.absolute}} {
		var text []byte
		for _, u := range utf16.Encode([]rune(strings.ReplaceAll(locator.path, "/", `\`))) {
			text = binary.LittleEndian.AppendUint16(text, u)
		}
		e := header[locatorsAt+n*locatorSize:]
		copy(e, locator.code)
		be.PutUint32(e[8:], uint32(len(text)))
		be.PutUint64(e[16:], uint64(at)+uint64(len(all)))
		text = append(text, make([]byte, -len(text)&(sectorSize-1))...)
		be.PutUint32(e[4:], uint32(len(text)))
		all = append(all, text...)
	}
	return all
}

// clear takes all that is said of a parent out of a header. L may be nil.
func (*link) clear(header []byte) {
	clear(header[parentIDAt : parentStampAt+4])
	clear(header[parentNameAt : locatorsAt+locators*locatorSize])
}
