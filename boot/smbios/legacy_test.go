package smbios

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
)

func TestLegacyEntry(t *testing.T) {
	l, err := layout.New(1<<30, 40)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := Build(&Config{Layout: l, Manufacturer: "maker", Sockets: 2, CoresPerSocket: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := tables.LegacyEntry()
	if len(b) != 31 || string(b[:4]) != "_SM_" || string(b[16:21]) != "_DMI_" || sum(b) != 0 || sum(b[16:]) != 0 {
		t.Fatalf("entry point %x", b)
	}
	le := binary.LittleEndian
	if n := int(le.Uint16(b[22:])); n != len(tables.Structures) {
		t.Errorf("length %d of %d", n, len(tables.Structures))
	}
	// BIOS, system, board, chassis, two processors, array, device, range, boot status, end.
	if n := le.Uint16(b[28:]); n != 11 {
		t.Errorf("%d structures", n)
	}
	if n := le.Uint16(b[8:]); n < 40 || n > 200 {
		t.Errorf("longest structure %d", n)
	}
}
