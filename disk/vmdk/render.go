package vmdk

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// ancestry is what a descriptor says about the disk's parent.
type ancestry struct {
	cid  uint32 // noParent if there is none
	hint string
}

// The geometry that a SCSI BIOS shows for disks over 1 GiB; it does not limit the capacity.
const (
	diskHeads    = 255
	diskTrack    = 63 // sectors
	maxCylinders = 65535
	// maxCylindersIDE is what ATA's IDENTIFY can say.
	maxCylindersIDE = 16383
)

// line is the extent's line in a descriptor, without the end of the line. The name must be one that a descriptor can hold.
func (e Extent) line() string {
	access := [...]string{ReadWrite: "RW", ReadOnly: "RDONLY", NoAccess: "NOACCESS"}[e.Access]
	switch e.Type {
	case "ZERO":
		return fmt.Sprintf("%s %d ZERO", access, e.Sectors)
	case "FLAT":
		return fmt.Sprintf("%s %d FLAT \"%s\" %d", access, e.Sectors, e.Name, e.Offset)
	}
	return fmt.Sprintf("%s %d %s \"%s\"", access, e.Sectors, e.Type, e.Name)
}

// newDescriptor writes the descriptor of a new disk as VMware does.
func newDescriptor(createType string, sectors int64, extents []Extent, a ancestry) []byte {
	var id [28]byte
	rand.Read(id[:])
	cid := randomCID(8, noParent)

	var b strings.Builder
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\nparentCID=%08x\ncreateType=%q\n", cid, a.cid, createType)
	if a.cid != noParent {
		fmt.Fprintf(&b, "parentFileNameHint=\"%s\"\n", a.hint)
	}
	b.WriteString("\n# Extent description\n")
	for _, e := range extents {
		b.WriteString(e.line() + "\n")
	}
	b.WriteString("\n# The Disk Data Base\n#DDB\n\n")
	for _, kv := range [][2]string{
		{"adapterType", "lsilogic"},
		{"geometry.cylinders", fmt.Sprint(min(max(sectors/(diskHeads*diskTrack), 1), maxCylinders))},
		{"geometry.heads", fmt.Sprint(diskHeads)},
		{"geometry.sectors", fmt.Sprint(diskTrack)},
		{"longContentID", hex.EncodeToString(id[:12]) + fmt.Sprintf("%08x", cid)},
		{"uuid", fmt.Sprintf("60 00 C2 9%x % x-% x", id[12]&15, id[13:17], id[17:25])},
		{"virtualHWVersion", "14"},
	} {
		fmt.Fprintf(&b, "ddb.%s = \"%s\"\n", kv[0], kv[1])
	}
	return []byte(b.String())
}
