package vmdk

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// field is a place in the descriptor's bytes.
type field struct{ at, size int }

// edit puts text in place of a field.
type edit struct {
	field
	text string
}

// edited returns the descriptor's text with some of its fields, which are apart, replaced.
func (d *Descriptor) edited(edits []edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, d.text[at:e.at]...), e.text...)
		at = e.at + e.size
	}
	return append(out, d.text[at:]...)
}

// newline is what the descriptor's lines end with.
func (d *Descriptor) newline() string {
	if bytes.Contains(d.text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// lineEnd returns the place behind the line that holds f, and what must be written before a line put there.
func (d *Descriptor) lineEnd(f field) (at int, before string) {
	if i := bytes.IndexByte(d.text[f.at:], '\n'); i >= 0 {
		return f.at + i + 1, ""
	}
	return len(d.text), d.newline()
}

// linkTo returns what changes when the disk gets another parent, or none.
func (d *Descriptor) linkTo(a ancestry) ([]edit, error) {
	hint, err := encodeName(d.text, a.hint)
	if err != nil {
		return nil, err
	}
	if a.cid != noParent {
		hint = fmt.Sprintf("parentFileNameHint=\"%s\"%s", hint, d.newline())
	}
	cid, anchor := fmt.Sprintf("%08x", a.cid), d.parentCID
	var out []edit
	if anchor.size == 0 {
		anchor = d.cid
		at, before := d.lineEnd(anchor)
		hint = fmt.Sprintf("%sparentCID=%s%s%s", before, cid, d.newline(), hint)
		return append(out, edit{field{at, 0}, hint}, edit{d.hint, ""}), nil
	}
	out = append(out, edit{anchor, cid})
	if d.hint.size > 0 {
		return append(out, edit{d.hint, hint}), nil
	}
	at, before := d.lineEnd(anchor)
	return append(out, edit{field{at, 0}, before + hint}), nil
}

// resize returns what changes of the extents' lines when their sizes become sectors: lines without a size go, and extents that have no
// line yet get theirs.
func (d *Descriptor) resize(extents []Extent) ([]edit, error) {
	var out []edit
	total := int64(0)
	for n, l := range d.lines {
		if n >= len(extents) {
			out = append(out, edit{l.whole, ""})
			continue
		}
		out = append(out, edit{l.sectors, strconv.FormatInt(extents[n].Sectors, 10)})
	}
	at, before := d.lineEnd(d.lines[len(d.lines)-1].whole)
	for n, e := range extents {
		total += e.Sectors
		if n < len(d.lines) {
			continue
		}
		name, err := encodeName(d.text, e.Name)
		if err != nil {
			return nil, err
		}
		e.Name = name
		out = append(out, edit{field{at, 0}, before + e.line() + d.newline()})
		before = ""
	}
	if d.cylinders.size > 0 {
		out = append(out, edit{d.cylinders, strconv.FormatInt(d.geometry(total), 10)})
	}
	return out, nil
}

// geometry is the number of cylinders for a disk of so many sectors, with the heads and sectors per track that the descriptor gives.
func (d *Descriptor) geometry(sectors int64) int64 {
	number := func(key string, other int64) int64 {
		n, err := strconv.ParseInt(d.DDB[key], 10, 64)
		if err != nil || n < 1 || n > 255 {
			return other
		}
		return n
	}
	limit := int64(maxCylinders)
	if d.DDB["adaptertype"] == "ide" {
		limit = maxCylindersIDE
	}
	return min(max(sectors/(number("geometry.heads", diskHeads)*number("geometry.sectors", diskTrack)), 1), limit)
}
