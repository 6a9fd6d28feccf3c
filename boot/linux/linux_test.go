package linux_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/bobuhiro11/gokvm/bootparam"
	"github.com/google/go-cmp/cmp"

	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/internal/kerneltest"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/linux"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/vmm/memory"
)

const ram = 64 * layout.MiB

func slice(t *testing.T, g *memory.Guest, gpa, n uint64) []byte {
	t.Helper()
	b, err := g.Slice(gpa, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLoad(t *testing.T) {
	g, l := kerneltest.Guest(t, ram)
	image := kerneltest.BzImage{Payload: []byte("the compressed kernel")}.Bytes()
	initrd := bytes.Repeat([]byte("initrd"), 1000)
	p := kerneltest.Payload(l, image, initrd)
	s, err := linux.Load(g, l, p)
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode != entry.Long64 || s.RIP != 0x1000200 || s.RSI != layout.ZeroPage {
		t.Errorf("state %+v", s)
	}
	if !bytes.Equal(slice(t, g, 0x1000000, uint64(len(image)-4*512)), image[4*512:]) {
		t.Error("the kernel is not at its preferred address")
	}
	if got := slice(t, g, layout.Cmdline, uint64(len(p.Cmdline)+1)); string(got) != p.Cmdline+"\x00" {
		t.Errorf("command line %q", got)
	}
	zp := slice(t, g, layout.ZeroPage, layout.PageSize)
	le := binary.LittleEndian
	at, size := uint64(le.Uint32(zp[0x218:])), uint64(le.Uint32(zp[0x21C:]))
	if at%layout.PageSize != 0 || at+size > ram || ram-(at+size) >= layout.PageSize || !bytes.Equal(slice(t, g, at, size), initrd) {
		t.Errorf("initrd of %d bytes at %#x", size, at)
	}
	if rsdp := le.Uint64(zp[0x70:]); rsdp != layout.ACPI {
		t.Errorf("RSDP at %#x", rsdp)
	}
	if zp[0x1EF] != 0 {
		t.Error("sentinel is set: Linux would wipe fields of boot_params")
	}
	if !bytes.Equal(zp[:0x40], make([]byte, 0x40)) {
		t.Error("screen_info is not empty")
	}
}

// TestOracle reads our boot_params by gokvm's definition of them, and checks that its own values for the loader's fields agree.
func TestOracle(t *testing.T) {
	g, l := kerneltest.Guest(t, ram)
	image := kerneltest.BzImage{}.Bytes()
	p := kerneltest.Payload(l, image, []byte("x"))
	if _, err := linux.Load(g, l, p); err != nil {
		t.Fatal(err)
	}
	zp := slice(t, g, layout.ZeroPage, layout.PageSize)

	want, err := bootparam.New(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	want.Hdr.VidMode = 0xFFFF
	want.Hdr.TypeOfLoader = 0xFF
	want.Hdr.LoadFlags = bootparam.LoadedHigh
	want.Hdr.RamdiskImage = ram - layout.PageSize
	want.Hdr.RamdiskSize = 1
	want.Hdr.CmdlinePtr = layout.Cmdline
	for _, e := range p.Map {
		want.AddE820Entry(e.Base, e.Size, uint32(e.Type))
	}
	got := &bootparam.BootParam{}
	if err := binary.Read(bytes.NewReader(zp), binary.LittleEndian, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Hdr, got.Hdr); diff != "" {
		t.Errorf("setup header (-gokvm +ours):\n%s", diff)
	}
	if got.E820Entries != want.E820Entries {
		t.Errorf("%d memory map entries, gokvm writes %d", got.E820Entries, want.E820Entries)
	}
	if diff := cmp.Diff(want.E820Map, got.E820Map); diff != "" {
		t.Errorf("memory map (-gokvm +ours):\n%s", diff)
	}
}

func TestPlacement(t *testing.T) {
	for _, c := range []struct {
		name  string
		k     kerneltest.BzImage
		entry uint64
	}{
		{"preferred address", kerneltest.BzImage{PrefAddress: 0x2000000}, 0x2000200},
		{"low preferred address moves up", kerneltest.BzImage{PrefAddress: 0x1000}, 0x200200},
		{"alignment rounds up", kerneltest.BzImage{PrefAddress: 0x1000001}, 0x1200200},
		{"fixed address", kerneltest.BzImage{Fixed: true, PrefAddress: 0x100000}, 0x100200},
		{"fixed ignores alignment", kerneltest.BzImage{Fixed: true, Alignment: 3}, 0x1000200},
		{"no setup_sects means four", kerneltest.BzImage{Sects: 4}, 0x1000200},
		{"up to the last byte", kerneltest.BzImage{InitSize: ram - 0x1000000}, 0x1000200},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := kerneltest.Guest(t, ram)
			image := c.k.Bytes()
			if c.k.Sects == 4 {
				image[0x1F1] = 0
			}
			s, err := linux.Load(g, l, kerneltest.Payload(l, image, nil))
			if err != nil {
				t.Fatal(err)
			}
			if s.RIP != c.entry {
				t.Errorf("entry at %#x, want %#x", s.RIP, c.entry)
			}
			if code := slice(t, g, s.RIP, 1); code[0] != 0x90 {
				t.Errorf("no code at the entry point: %#x", code)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	whole := kerneltest.BzImage{}.Bytes()
	patched := func(off int, v ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[off:], v)
		return b
	}
	initrd := bytes.Repeat([]byte{1}, 8*layout.MiB)
	for _, c := range []struct {
		name   string
		image  []byte
		initrd []byte
		want   error
	}{
		{"empty", nil, nil, payload.ErrTruncated},
		{"short", whole[:0x200], nil, payload.ErrTruncated},
		{"no boot flag", patched(0x1FE, 0, 0), nil, payload.ErrNotKernel},
		{"no magic", patched(0x202, 'X'), nil, payload.ErrNotKernel},
		{"old protocol", kerneltest.BzImage{Version: 0x20B}.Bytes(), nil, payload.ErrUnsupported},
		{"32-bit kernel", kerneltest.BzImage{XLoadFlags: 2}.Bytes(), nil, payload.ErrUnsupported},
		{"zImage", kerneltest.BzImage{LoadFlags: 0x80}.Bytes(), nil, payload.ErrUnsupported},
		{"header too short", kerneltest.BzImage{HeaderEnd: 0x267}.Bytes(), nil, payload.ErrMalformed},
		{"alignment zero", patched(0x230, 0, 0, 0, 0), nil, payload.ErrMalformed},
		{"alignment of three", patched(0x230, 3, 0, 0, 0), nil, payload.ErrMalformed},
		{"alignment of 2 GiB", patched(0x230, 0, 0, 0, 0x80), nil, payload.ErrMalformed},
		{"ends in the setup", whole[:0x400], nil, payload.ErrTruncated},
		{"ends in the kernel", whole[:len(whole)-16], nil, payload.ErrTruncated},
		{"no kernel proper", patched(0x1F4, 0x20, 0, 0, 0), nil, payload.ErrMalformed},
		{"endless kernel", patched(0x1F4, 0xFF, 0xFF, 0xFF, 0xFF), nil, payload.ErrTruncated},
		{"address past RAM", kerneltest.BzImage{PrefAddress: ram}.Bytes(), nil, payload.ErrNoRoom},
		{"address past 4 GiB", kerneltest.BzImage{PrefAddress: 1 << 32}.Bytes(), nil, payload.ErrNoRoom},
		{"address at the end of time", kerneltest.BzImage{PrefAddress: 1<<64 - 1}.Bytes(), nil, payload.ErrNoRoom},
		{"fixed address on the boot structures", kerneltest.BzImage{Fixed: true, PrefAddress: layout.ZeroPage}.Bytes(), nil, payload.ErrNoRoom},
		{"size past RAM", kerneltest.BzImage{InitSize: ram}.Bytes(), nil, payload.ErrNoRoom},
		{"size of 4 GiB", kerneltest.BzImage{InitSize: 0xFFFFFFFF}.Bytes(), nil, payload.ErrNoRoom},
		{"initrd over the kernel", kerneltest.BzImage{InitSize: ram - 0x1000000 - 7*layout.MiB}.Bytes(), initrd, payload.ErrNoRoom},
		{"initrd limit under the kernel", kerneltest.BzImage{InitrdMax: 0x1000}.Bytes(), initrd, payload.ErrNoRoom},
		{"initrd bigger than RAM", whole, make([]byte, ram+1), payload.ErrNoRoom},
		{"initrd empty", whole, []byte{}, payload.ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := kerneltest.Guest(t, ram)
			_, err := linux.Load(g, l, kerneltest.Payload(l, c.image, c.initrd))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestCmdline(t *testing.T) {
	image := kerneltest.BzImage{CmdlineSize: 100}.Bytes()
	for _, c := range []struct {
		line string
		ok   bool
	}{
		{"", true}, {strings.Repeat("x", 100), true}, {strings.Repeat("x", 101), false}, {"a\x00b", false},
	} {
		g, l := kerneltest.Guest(t, ram)
		p := kerneltest.Payload(l, image, nil)
		p.Cmdline = c.line
		if _, err := linux.Load(g, l, p); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.line, err)
		}
	}
}

// A file that shrinks after its size was taken must not load half.
func TestFileShrinks(t *testing.T) {
	g, l := kerneltest.Guest(t, ram)
	image := kerneltest.BzImage{}.Bytes()
	p := kerneltest.Payload(l, image, nil)
	p.Kernel.Data = bytes.NewReader(image[:len(image)-100])
	if _, err := linux.Load(g, l, p); !errors.Is(err, payload.ErrTruncated) {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(kerneltest.BzImage{Payload: []byte("payload")}.Bytes(), []byte("initrd"), "quiet")
	f.Add(kerneltest.BzImage{Fixed: true, PrefAddress: 0x100000}.Bytes(), []byte(nil), "")
	f.Add(kerneltest.BzImage{PrefAddress: 1, InitSize: 0x1000}.Bytes(), []byte("initrd"), "quiet")
	f.Add(kerneltest.BzImage{InitSize: 0xFFFFFFFF, Alignment: 1 << 30}.Bytes(), []byte{0}, "a\x00")
	const size = 4 * layout.MiB
	g, l := kerneltest.Guest(f, size)
	host := g.Regions()[0].Host
	f.Fuzz(func(t *testing.T, image, initrd []byte, line string) {
		p := kerneltest.Payload(l, image, initrd)
		p.Cmdline = line
		s, err := linux.Load(g, l, p)
		if err != nil {
			return
		}
		// What the kernel is told must be true.
		zp := host[layout.ZeroPage:][:layout.PageSize]
		at, n := uint64(binary.LittleEndian.Uint32(zp[0x218:])), uint64(binary.LittleEndian.Uint32(zp[0x21C:]))
		if initrd != nil && !bytes.Equal(host[at:at+n], initrd) {
			t.Errorf("initrd at %#x+%#x is not the one given", at, n)
		}
		if s.RIP < layout.HighMemory || s.RIP >= size || n != 0 && at < s.RIP {
			t.Errorf("entry at %#x, initrd at %#x", s.RIP, at)
		}
	})
}
