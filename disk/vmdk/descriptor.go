package vmdk

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// noParent is the parentCID of a disk that is not a snapshot.
const noParent = 0xffffffff

// Limits on what a descriptor may ask for.
const (
	maxDescriptor = 4 << 20 // bytes
	maxExtents    = 10000   // a file each; 20 TiB in pieces of 2 GiB
	maxSectors    = 1 << 52 // of the whole disk; 2^61 bytes
	maxName       = 4096    // bytes of a file's name, folders included
)

// Descriptor is the text that describes a disk. Only what is needed is taken out of it; writing changes single
// values in place, so that everything else, known or not, stays as it was.
type Descriptor struct {
	Version    string
	CID        uint32
	ParentCID  uint32
	CreateType string // as written, such as "monolithicSparse"
	ParentHint string // parentFileNameHint
	Extents    []Extent
	DDB        map[string]string // the disk data base by lower-case key, without "ddb."

	text      []byte // what it was read from
	cid       field  // the digits of CID
	parentCID field  // the digits of parentCID
	hint      field  // the line of parentFileNameHint
	content   field  // the digits of ddb.longContentID, if it has 32
	cylinders field  // the digits of ddb.geometry.cylinders
	lines     []line // of Extents
}

// line is where an extent's line is.
type line struct {
	whole   field
	sectors field // the digits of its size
}

// Access says what an extent's line allows.
type Access uint8

// The access words.
const (
	ReadWrite Access = iota
	ReadOnly
	NoAccess
)

// Extent is an extent line.
type Extent struct {
	Access  Access
	Sectors int64
	Type    string // upper case: SPARSE, FLAT, ZERO, VMFS, ...
	Name    string // the file, decoded, with / between folders
	Offset  int64  // sectors into the file (FLAT, VMFS)
}

// ParseDescriptor reads a descriptor up to its end or the first NUL. Errors give the line.
func ParseDescriptor(text []byte) (*Descriptor, error) {
	if len(text) > maxDescriptor {
		return nil, fmt.Errorf("a descriptor of %d bytes is longer than any disk needs (%d)", len(text), maxDescriptor)
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	decode := decoder(text)
	d := &Descriptor{ParentCID: noParent, DDB: map[string]string{}, text: bytes.Clone(text)}
	total := int64(0)
	for n, at := 1, 0; at < len(text); n++ {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if err := d.line(text, at, end, decode); err != nil {
			return nil, fmt.Errorf("descriptor line %d: %w", n, err)
		}
		at = end
	}
	for _, e := range d.Extents {
		if total += e.Sectors; total > maxSectors {
			return nil, fmt.Errorf("extents of %d sectors and more are larger than any disk", total)
		}
	}
	switch {
	case d.cid.size == 0:
		return nil, fmt.Errorf("descriptor has no CID line")
	case len(d.Extents) == 0:
		return nil, fmt.Errorf("descriptor has no extent line")
	}
	return d, nil
}

// line takes in text[at:end].
func (d *Descriptor) line(text []byte, at, end int, decode func(string) (string, error)) error {
	line := strings.TrimSpace(strings.TrimPrefix(string(text[at:end]), "\ufeff"))
	if line == "" || line[0] == '#' {
		return nil
	}
	word, rest := cutSpace(line)
	if access, ok := accessWords[strings.ToUpper(word)]; ok && !strings.HasPrefix(rest, "=") {
		if len(d.Extents) == maxExtents {
			return fmt.Errorf("more than %d extents", maxExtents)
		}
		e, err := parseExtent(access, rest, decode)
		if err != nil {
			return err
		}
		d.Extents = append(d.Extents, e)
		d.lines = append(d.lines, placeLine(text, at, end))
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return nil // not ours to understand; kept as it is
	}
	value = strings.Trim(strings.TrimSpace(value), `"`)
	place := field{at: at + bytes.IndexByte(text[at:end], '=') + 1, size: len(value)}
	place.at += strings.Index(string(text[place.at:end]), value)
	return d.set(strings.ToLower(strings.TrimSpace(key)), value, place, field{at, end - at}, decode)
}

// placeLine returns where the extent line text[at:end] and its size are.
func placeLine(text []byte, at, end int) line {
	rest := text[at:end]
	access := bytes.IndexFunc(rest, unicode.IsLetter)
	space := access + bytes.IndexAny(rest[access:], " \t")
	digit := space + bytes.IndexFunc(rest[space:], unicode.IsDigit)
	size := bytes.IndexFunc(rest[digit:], func(r rune) bool { return !unicode.IsDigit(r) })
	if size < 0 {
		size = len(rest) - digit
	}
	return line{field{at, end - at}, field{at + digit, size}}
}

var accessWords = map[string]Access{"RW": ReadWrite, "RDONLY": ReadOnly, "NOACCESS": NoAccess}

// set takes in a value, which lies at place in a line.
func (d *Descriptor) set(key, value string, place, line field, decode func(string) (string, error)) (err error) {
	switch key {
	case "version":
		d.Version = value
	case "cid":
		d.CID, err = parseCID(value)
		d.cid = place
	case "parentcid":
		d.ParentCID, err = parseCID(value)
		d.parentCID = place
	case "createtype":
		d.CreateType = value
	case "parentfilenamehint":
		d.ParentHint, err = decode(value)
		d.hint = line
	case "ddb.longcontentid":
		if len(value) == 32 {
			d.content = place
		}
	case "ddb.geometry.cylinders":
		d.cylinders = place
	}
	if name, ok := strings.CutPrefix(key, "ddb."); ok {
		d.DDB[name] = value
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func parseCID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of up to 8 hexadecimal digits", clip(s))
	}
	return uint32(n), nil
}

// parseExtent reads what follows the access word: size, type, "name", offset, and in lines of seven fields a
// partition and a device identifier, which name the same storage another way.
func parseExtent(a Access, s string, decode func(string) (string, error)) (Extent, error) {
	e := Extent{Access: a}
	size, s := cutSpace(s)
	var err error
	if e.Sectors, err = parseSectors(size); err != nil {
		return e, fmt.Errorf("extent size %w", err)
	}
	e.Type, s = cutSpace(s)
	if e.Type = strings.ToUpper(e.Type); e.Type == "" {
		return e, fmt.Errorf("extent has no type")
	}
	if s == "" {
		if e.Type != "ZERO" && a != NoAccess {
			return e, fmt.Errorf("%s extent names no file", clip(e.Type))
		}
		return e, nil
	}
	if s[0] != '"' {
		return e, fmt.Errorf("extent's file name is not in quotes: %s", clip(s))
	}
	name, s, ok := strings.Cut(s[1:], `"`)
	if !ok {
		return e, fmt.Errorf("extent's file name has no closing quote: %s", clip(name))
	}
	if e.Name, err = decode(name); err != nil {
		return e, err
	}
	e.Name = strings.ReplaceAll(e.Name, `\`, "/")
	if offset, _ := cutSpace(strings.TrimSpace(s)); offset != "" {
		if e.Offset, err = parseSectors(offset); err != nil {
			return e, fmt.Errorf("extent offset %w", err)
		}
	}
	return e, nil
}

func parseSectors(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxSectors {
		return 0, fmt.Errorf("%q is not a number of sectors from 0 to %d", clip(s), int64(maxSectors))
	}
	return n, nil
}

// cutSpace splits off the first word.
func cutSpace(s string) (word, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// clip shortens what is quoted in a message.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
