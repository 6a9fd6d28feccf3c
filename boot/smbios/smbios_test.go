package smbios

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

func config(t testing.TB, ram uint64) *Config {
	t.Helper()
	l, err := layout.New(ram, 46)
	if err != nil {
		t.Fatal(err)
	}
	return &Config{
		Layout:     l,
		BIOSVendor: "the vendor", BIOSVersion: "1.2", BIOSDate: "01/02/2031",
		Manufacturer: "the maker", Product: "the product", Serial: "VMware-56 4d", Family: "family",
		UUID:    [16]byte{0x56, 0x4d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
		Sockets: 2, CoresPerSocket: 4, CPUVendor: "GenuineIntel",
	}
}

// parsed is a structure as a guest reads it.
type parsed struct {
	kind    uint8
	handle  uint16
	area    []byte
	strings []string
}

// text is the string whose number stands at an offset.
func (p parsed) text(off int) string {
	if n := int(p.area[off]); n > 0 {
		return p.strings[n-1]
	}
	return ""
}

// read finds and parses the structures in mem.
func read(t *testing.T, mem *memory.Guest) (all []parsed) {
	t.Helper()
	entry, err := mem.Slice(layout.SMBIOS, entrySize)
	if err != nil {
		t.Fatal(err)
	}
	var sum byte
	for _, v := range entry {
		sum += v
	}
	if string(entry[:5]) != "_SM3_" || sum != 0 || entry[6] != entrySize || entry[7] != 3 {
		t.Fatalf("entry point % x", entry)
	}
	b, err := mem.Slice(binary.LittleEndian.Uint64(entry[16:]), uint64(binary.LittleEndian.Uint32(entry[12:])))
	if err != nil {
		t.Fatal(err)
	}
	handles := map[uint16]bool{}
	for len(b) > 0 {
		p := parsed{kind: b[0], handle: binary.LittleEndian.Uint16(b[2:]), area: b[:b[1]]}
		text, rest, ok := bytes.Cut(b[b[1]:], []byte{0, 0})
		if !ok {
			t.Fatalf("type %d has no end", p.kind)
		}
		if len(text) > 0 {
			p.strings = strings.Split(string(text), "\x00")
		}
		if handles[p.handle] {
			t.Errorf("handle %#x is used twice", p.handle)
		}
		handles[p.handle] = true
		all = append(all, p)
		b = rest
	}
	return all
}

func place(t *testing.T, c *Config) []parsed {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, layout.HighMemory)})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.Place(mem); err != nil {
		t.Fatal(err)
	}
	return read(t, mem)
}

func TestStructures(t *testing.T) {
	// Lengths of the formatted areas for version 3.3 (type 17 as of 2.8: the rest is about persistent memory).
	lengths := map[uint8]int{0: 0x1A, 1: 0x1B, 2: 0x0F, 3: 0x16, 4: 0x30, 16: 0x17, 17: 0x28, 19: 0x1F, 32: 0x0B, 127: 4}
	counts := map[uint8]int{}
	all := place(t, config(t, 36*layout.GiB))
	for _, p := range all {
		counts[p.kind]++
		if len(p.area) != lengths[p.kind] {
			t.Errorf("type %d has %#x bytes, want %#x", p.kind, len(p.area), lengths[p.kind])
		}
	}
	for kind, want := range map[uint8]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 16: 1, 17: 3, 19: 2, 32: 1, 127: 1} {
		if counts[kind] != want {
			t.Errorf("%d structures of type %d, want %d", counts[kind], kind, want)
		}
	}
	if all[len(all)-1].kind != 127 {
		t.Error("the end is not at the end")
	}
}

func TestContents(t *testing.T) {
	le := binary.LittleEndian
	c := config(t, 36*layout.GiB)
	var memory, ranges uint64
	for _, p := range place(t, c) {
		switch p.kind {
		case 0:
			if p.text(4) != "the vendor" || p.text(5) != "1.2" || p.text(8) != "01/02/2031" || p.area[0x13]&0x10 == 0 {
				t.Errorf("BIOS: % x %q", p.area, p.strings)
			}
		case 1:
			if p.text(4) != "the maker" || p.text(5) != "the product" || p.text(6) != "" || p.text(7) != "VMware-56 4d" || p.text(0x1A) != "family" {
				t.Errorf("system: % x %q", p.area, p.strings)
			}
			if !bytes.Equal(p.area[8:24], c.UUID[:]) {
				t.Errorf("UUID % x", p.area[8:24])
			}
		case 4:
			if p.text(7) != "GenuineIntel" || p.area[0x18] != 0x41 || p.area[0x23] != 4 || le.Uint16(p.area[0x2A:]) != 4 {
				t.Errorf("processor: % x %q", p.area, p.strings)
			}
		case 16:
			if le.Uint32(p.area[7:]) != 36<<20 || le.Uint16(p.area[0xD:]) != 3 {
				t.Errorf("memory array: % x", p.area)
			}
		case 17:
			memory += uint64(le.Uint16(p.area[0xC:])) * layout.MiB
		case 19:
			ranges += (uint64(le.Uint32(p.area[8:])) + 1 - uint64(le.Uint32(p.area[4:]))) * layout.KiB
		}
	}
	if memory != c.Layout.RAM || ranges != c.Layout.RAM {
		t.Errorf("devices hold %#x, ranges %#x of %#x bytes", memory, ranges, c.Layout.RAM)
	}
}

func TestSizes(t *testing.T) {
	for _, ram := range []uint64{4 * layout.MiB, 2 * layout.GiB, 16 * layout.GiB, 900 * layout.GiB} {
		c := config(t, ram)
		c.Sockets, c.CoresPerSocket = MaxSockets, 300
		place(t, c)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"zero byte":      func(c *Config) { c.Serial = "a\x00b" },
		"line break":     func(c *Config) { c.Product = "a\nb" },
		"not ASCII":      func(c *Config) { c.Manufacturer = "Größe" },
		"long":           func(c *Config) { c.AssetTag = strings.Repeat("x", MaxString+1) },
		"no sockets":     func(c *Config) { c.Sockets = 0 },
		"many sockets":   func(c *Config) { c.Sockets = MaxSockets + 1 },
		"no cores":       func(c *Config) { c.CoresPerSocket = 0 },
		"too many cores": func(c *Config) { c.CoresPerSocket = 1 << 16 },
	} {
		c := config(t, layout.GiB)
		change(c)
		if _, err := Build(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPlaceWithoutRAM(t *testing.T) {
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, layout.SMBIOS)})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := Build(config(t, layout.GiB))
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.Place(mem); err == nil {
		t.Error("placed where there is no RAM")
	}
}

// TestDmidecode has dmidecode read the structures: it must decode all of them and find no fault.
func TestDmidecode(t *testing.T) {
	if _, err := exec.LookPath("dmidecode"); err != nil {
		t.Skip("dmidecode is not installed; TestStructures and TestContents parse the structures themselves")
	}
	tables, err := Build(config(t, 36*layout.GiB))
	if err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(dump, tables.Link(0), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("dmidecode", "--from-dump", dump).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{
		"SMBIOS 3.3.0 present", "Vendor: the vendor", "System is a virtual machine", "Serial Number: VMware-56 4d", "UUID: 02014d56-0403-0605-0708-090a0b0c0d0e",
		"Core Count: 4", "Maximum Capacity: 36 GB", "Size: 16 GB", "Size: 4 GB", "Range Size: 34 GB", "Status: No errors detected", "End Of Table",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("dmidecode does not say %q:\n%s", want, text)
		}
	}
	for _, fault := range []string{"OUT OF SPEC", "Wrong", "TRUNCATED", "BAD INDEX", "<BAD"} {
		if strings.Contains(text, fault) {
			t.Errorf("dmidecode says %q:\n%s", fault, text)
		}
	}
}
