package aml

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func TestPkgLength(t *testing.T) {
	for _, c := range []struct {
		body int
		want string
	}{
		{0, "01"}, {62, "3f"}, // one byte holds up to 63
		{63, "4104"}, {4093, "4fff"}, // two bytes
		{4094, "810001"}, {1<<20 - 4, "8fffff"}, // three
		{1<<20 - 3, "c1000001"}, {maxLength - 4, "cfffffff"}, // four
	} {
		got := pkgLength(c.body)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%d bytes: %x, want %s", c.body, got, c.want)
		}
		// Decoded, it counts the body and itself.
		n := int(got[0] & 0x3F)
		if len(got) > 1 {
			n = int(got[0] & 0xF)
			for i, b := range got[1:] {
				n |= int(b) << (4 + 8*i)
			}
		}
		if n != c.body+len(got) {
			t.Errorf("%d bytes: decodes to %d", c.body, n)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"zero", Integer(0), "00"},
		{"one", Integer(1), "01"},
		{"ones", Integer(1<<64 - 1), "ff"},
		{"byte", Integer(0xff), "0aff"},
		{"word", Integer(0x100), "0b0001"},
		{"dword", Integer(0x10000), "0c00000100"},
		{"qword", Integer(1 << 32), "0e0000000001000000"},
		{"string", String("ab"), "0d616200"},
		{"EISA id", EISAID("PNP0A08"), "0c41d00a08"},
		{"short EISA id", EISAID("PNP0000"), "0b41d0"},
		{"UUID", UUID("33db4d5b-1ff7-401c-9657-7441c03dd766"), "11130a105b4ddb33f71f1c4096577441c03dd766"},
		{"buffer", Buffer([]byte{1, 2}), "11050a020102"},
		{"package", Package(Integer(0), Integer(5)), "12050200" + "0a05"},
		{"root", Path(`\`), `5c00`},
		{"segment", Path("A"), hex.EncodeToString([]byte("A___"))},
		{"from the root", Path(`\_SB`), hex.EncodeToString([]byte(`\_SB_`))},
		{"from the parent", Path(`^^X1`), hex.EncodeToString([]byte(`^^X1__`))},
		{"two segments", Path(`_SB.PCI0`), "2e" + hex.EncodeToString([]byte(`_SB_PCI0`))},
		{"three segments", Path(`\_SB.PCI0.ISA`), "5c2f03" + hex.EncodeToString([]byte(`_SB_PCI0ISA_`))},
		{"name", Name("_UID", Integer(1)), "08" + hex.EncodeToString([]byte("_UID")) + "01"},
		{"scope", Scope(`\_SB`), "1006" + hex.EncodeToString([]byte(`\_SB_`))},
		{"device", Device("COM1"), "5b8205" + hex.EncodeToString([]byte("COM1"))},
		{"method", Method("_STA", 2, true, Return(Integer(15))), "1409" + hex.EncodeToString([]byte("_STA")) + "0aa40a0f"},
		{"if and else", cat(If(Equal(Arg(0), Local(7)), Return(Integer(0))), Else(Return(Integer(1)))), "a0069368" + "67" + "a400" + "a103a401"},
		{"IO", IO(0x3f8, 8), "4701f803f8030108"},
		{"IRQ", IRQ(4), "221000"},
		{"fixed memory", Memory32Fixed(0xfec00000, 0x1000), "86090001" + "0000c0fe" + "00100000"},
		{"buses", BusRange(0, 255), "880d00020c00" + "0000" + "0000" + "ff00" + "0000" + "0001"},
		{"ports", IORange(0xd00, 0xffff), "880d00010c03" + "0000" + "000d" + "ffff" + "0000" + "00f3"},
		{"memory below 4 GiB", MemoryRange32(0xc0000000, 0xfebfffff), "871700000c01" + "00000000" + "000000c0" + "ffffbffe" + "00000000" + "0000c03e"},
		{"memory above", MemoryRange64(1<<32, 1<<33-1), "8a2b00000c01" + "0000000000000000" + "0000000001000000" + "ffffffff01000000" + "0000000000000000" + "0000000001000000"},
		{"template", ResourceTemplate(IRQ(1)), "11080a05" + "220200" + "7900"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLongBody(t *testing.T) {
	var body []Term
	for range 1000 {
		body = append(body, Name("ABCD", Integer(0x1234)))
	}
	got := Scope(`\`, body...)
	if n := 1 + 3 + 2 + 1000*8; len(got) != n || !bytes.HasPrefix(got, []byte{opScope, 0x80 | byte((n-1)&0xF), byte((n - 1) >> 4), byte((n - 1) >> 12)}) {
		t.Errorf("%d bytes, begins with % x", len(got), got[:4])
	}
}

func TestMistakesPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"long segment":      func() { Path("ABCDE") },
		"empty segment":     func() { Path("A..B") },
		"lower case":        func() { Path("abcd") },
		"leading digit":     func() { Path("1ABC") },
		"root twice":        func() { Path(`\\A`) },
		"root and parent":   func() { Path(`^\A`) },
		"many segments":     func() { Path(strings.Repeat("A.", 255) + "A") },
		"string with zero":  func() { String("a\x00") },
		"EISA id":           func() { EISAID("PNPXYZW") },
		"EISA vendor":       func() { EISAID("pnp0A08") },
		"UUID":              func() { UUID("33db4d5b") },
		"method arguments":  func() { Method("A", 8, false) },
		"package too large": func() { Package(make([]Term, 256)...) },
		"too long":          func() { pkgLength(maxLength) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}
