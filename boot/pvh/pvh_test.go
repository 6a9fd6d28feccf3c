package pvh_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/internal/kerneltest"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/pvh"
)

const ram = 64 * layout.MiB

// load is a PT_LOAD segment.
func load(paddr uint64, data string, extra uint64) kerneltest.Segment {
	return kerneltest.Segment{Type: 1, Paddr: paddr, Data: []byte(data), Extra: extra}
}

func TestLoad(t *testing.T) {
	for _, class := range []int{32, 64} {
		g, l := kerneltest.Guest(t, ram)
		image := kerneltest.ELF(class, load(0x2000000, "data", 0x100000), kerneltest.Note(0x1000004), load(0x1000000, "text+code", 0))
		initrd := []byte("the initrd")
		p := kerneltest.Payload(l, image, initrd)
		s, err := pvh.Load(g, l, p)
		if err != nil {
			t.Fatalf("class %d: %v", class, err)
		}
		if s.Mode != entry.Protected32 || s.RIP != 0x1000004 || s.RBX != layout.StartInfo {
			t.Errorf("class %d: state %+v", class, s)
		}
		le := binary.LittleEndian
		at := func(gpa uint64) uint64 {
			var b [8]byte
			if err := g.Read(gpa, b[:]); err != nil {
				t.Fatal(err)
			}
			return le.Uint64(b[:])
		}
		text := func(gpa, n uint64) string {
			b := make([]byte, n)
			if err := g.Read(gpa, b); err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if text(0x1000000, 9) != "text+code" || text(0x2000000, 5) != "data\x00" {
			t.Errorf("class %d: segments are not in place", class)
		}
		info := s.RBX
		if v := at(info); v != 0x1_336EC578 {
			t.Errorf("class %d: magic and version %#x", class, v)
		}
		if v := at(info + 8); v != 1<<32 {
			t.Errorf("class %d: flags and modules %#x", class, v)
		}
		if mod := at(info + 16); text(at(mod), at(mod+8)) != string(initrd) || at(mod) < 0x2100004 {
			t.Errorf("class %d: initrd is not at %#x", class, at(mod))
		}
		if line := text(at(info+24), uint64(len(p.Cmdline)+1)); line != p.Cmdline+"\x00" {
			t.Errorf("class %d: command line %q", class, line)
		}
		if rsdp := at(info + 32); rsdp != p.RSDP {
			t.Errorf("class %d: RSDP %#x", class, rsdp)
		}
		if n := at(info + 48); n != uint64(len(p.Map)) {
			t.Errorf("class %d: %d map entries", class, n)
		}
		for i, e := range p.Map {
			m := at(info+40) + uint64(i)*24
			if at(m) != e.Base || at(m+8) != e.Size || at(m+16) != uint64(e.Type) {
				t.Errorf("class %d: map entry %d is %#x %#x %#x, want %#x", class, i, at(m), at(m+8), at(m+16), e)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	good := []kerneltest.Segment{kerneltest.Note(0x1000000), load(0x1000000, "code", 0)}
	elf := kerneltest.ELF(64, good...)
	patched := func(off int, v ...byte) []byte {
		b := bytes.Clone(elf)
		copy(b[off:], v)
		return b
	}
	note := func(s string) []byte {
		return kerneltest.ELF(64, kerneltest.Segment{Type: 4, Data: []byte(s)}, good[1])
	}
	many := make([]kerneltest.Segment, 65)
	ones := bytes.Repeat([]byte{0xFF}, 8)
	for _, c := range []struct {
		name  string
		image []byte
		want  error
	}{
		{"empty", nil, payload.ErrNotKernel},
		{"header only", elf[:40], payload.ErrMalformed},
		{"ends in the program headers", elf[:100], payload.ErrTruncated},
		{"ends in a segment", elf[:len(elf)-1], payload.ErrTruncated},
		{"big endian", patched(5, 2), payload.ErrUnsupported},
		{"object file", patched(16, 1), payload.ErrUnsupported},
		{"another machine", patched(18, 183), payload.ErrUnsupported},
		{"class 3", patched(4, 3), payload.ErrMalformed},
		{"program headers past the file", patched(32, ones...), payload.ErrTruncated},
		{"odd program headers", patched(54, 8), payload.ErrMalformed},
		{"no program headers", kerneltest.ELF(64), payload.ErrMalformed},
		{"too many program headers", kerneltest.ELF(64, many...), payload.ErrMalformed},
		{"no note", kerneltest.ELF(64, good[1]), payload.ErrUnsupported},
		{"empty note", note(""), payload.ErrUnsupported},
		{"note of another name", note("\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00GNU\x00\x00\x00\x00\x01"), payload.ErrUnsupported},
		{"note leaves its segment", note("\x04\x00\x00\x00\xff\xff\xff\xff\x12\x00\x00\x00Xen\x00"), payload.ErrMalformed},
		{"name leaves its segment", note("\xff\xff\xff\xff\x00\x00\x00\x00\x12\x00\x00\x00Xen\x00"), payload.ErrMalformed},
		{"entry of two bytes", note("\x04\x00\x00\x00\x02\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00"), payload.ErrMalformed},
		{"entry past 4 GiB", note("\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00\x00\x01\x01\x00\x00\x00"), payload.ErrMalformed},
		{"huge note", kerneltest.ELF(64, kerneltest.Segment{Type: 4, Data: make([]byte, 65<<10)}, good[1]), payload.ErrMalformed},
		{"entry in no segment", kerneltest.ELF(64, kerneltest.Note(0x1000004), good[1]), payload.ErrMalformed},
		{"segments overlap", kerneltest.ELF(64, good[0], load(0xFFFFFF, "xx", 0), good[1]), payload.ErrMalformed},
		{"segment over itself", kerneltest.ELF(64, good[0], good[1], good[1]), payload.ErrMalformed},
		{"segment wraps", kerneltest.ELF(64, good[0], good[1], load(1<<64-2, "x", 5)), payload.ErrMalformed},
		{"segment on the boot structures", kerneltest.ELF(64, kerneltest.Note(layout.ZeroPage), load(layout.ZeroPage, "code", 0)), payload.ErrNoRoom},
		{"segment past RAM", kerneltest.ELF(64, good[0], good[1], load(ram-1, "xx", 0)), payload.ErrNoRoom},
		{"memory past RAM", kerneltest.ELF(64, good[0], load(0x1000000, "code", ram)), payload.ErrNoRoom},
		{"more file than memory", kerneltest.ELF(64, good[0], load(0x1000000, "code", 1<<64-1)), payload.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := kerneltest.Guest(t, ram)
			if _, err := pvh.Load(g, l, kerneltest.Payload(l, c.image, nil)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestInitrdAboveKernel(t *testing.T) {
	image := kerneltest.ELF(64, kerneltest.Note(0x1000000), load(0x1000000, "code", 40*layout.MiB))
	for _, c := range []struct {
		size int
		want error
	}{{7 * layout.MiB, nil}, {9 * layout.MiB, payload.ErrNoRoom}} {
		g, l := kerneltest.Guest(t, ram)
		if _, err := pvh.Load(g, l, kerneltest.Payload(l, image, make([]byte, c.size))); !errors.Is(err, c.want) {
			t.Errorf("%d bytes: %v", c.size, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(kerneltest.ELF(64, kerneltest.Note(0x100000), load(0x100000, "code", 64)), []byte("initrd"))
	f.Add(kerneltest.ELF(32, kerneltest.Note(0x100000), load(0x100000, "code", 64), load(0x200000, "data", 0)), []byte(nil))
	const size = 4 * layout.MiB
	g, l := kerneltest.Guest(f, size)
	f.Fuzz(func(t *testing.T, image, initrd []byte) {
		s, err := pvh.Load(g, l, kerneltest.Payload(l, image, initrd))
		if err == nil && (s.RIP < layout.HighMemory || s.RIP >= size) {
			t.Errorf("entry at %#x", s.RIP)
		}
	})
}
