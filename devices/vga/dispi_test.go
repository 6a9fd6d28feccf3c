package vga

import (
	"encoding/binary"
	"image"
	"image/color"
	"slices"
	"testing"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/display"
)

// TestLegacyPorts checks that firmware can switch the card on: SeaBIOS takes a VGA whose I/O bit is not set for one that is off.
func TestLegacyPorts(t *testing.T) {
	c := newCard(t, MinVRAM)
	if err := c.ports.Map(pci.PortBase, pci.PortSize, c.root.Ports()); err != nil {
		t.Fatal(err)
	}
	const command = 0x80000804
	c.ports.Write(pci.PortBase, binary.LittleEndian.AppendUint32(nil, command))
	c.ports.Write(pci.PortBase+4, []byte{3, 0})
	if v := c.in(pci.PortBase + 4); v != 3 {
		t.Errorf("the command register is %#x after 3 was written", v)
	}
}

func TestDispiIdentity(t *testing.T) {
	c := newCard(t, 16<<20)
	for _, test := range []struct{ write, want uint16 }{{0, 0xb0c5}, {0xb0c0, 0xb0c0}, {0xb0c6, 0xb0c0}, {0xb0c4, 0xb0c4}} {
		c.dispi(dispiID, test.write)
		if got := c.dispiRead(dispiID); got != test.want {
			t.Errorf("after %#x the version is %#x", test.write, got)
		}
	}
	c.dispi(dispiEnable, dispiCaps)
	for reg, want := range map[int]uint16{dispiXRes: maxWidth, dispiYRes: maxHeight, dispiBPP: 32, dispiMemory: 256, 11: 0, 0xffff: 0} {
		if got := c.dispiRead(reg); got != want {
			t.Errorf("register %d is %d, want %d", reg, got, want)
		}
	}
}

// TestDirect checks that the surface is the video memory, and that damage is where the guest wrote.
func TestDirect(t *testing.T) {
	c := newCard(t, 16<<20)
	c.vram[100] = 1
	c.vbe(1024, 768, 32)
	if c.vram[100] != 0 {
		t.Error("a mode change kept what was there")
	}
	v := c.surface.NewViewer()
	defer v.Close()
	u := v.Update()
	if u.Frame.Memory != c.Device.memory || u.Frame.Geometry != (display.Geometry{Width: 1024, Height: 768, Stride: 4096}) {
		t.Fatalf("%+v", u.Frame)
	}
	for _, test := range []struct {
		name  string
		pages []int
		want  []image.Rectangle
	}{
		{"nothing", nil, nil},
		{"a line", []int{5}, []image.Rectangle{image.Rect(0, 5, 1024, 6)}},
		{"lines", []int{7, 8, 9, 100}, []image.Rectangle{image.Rect(0, 7, 1024, 10), image.Rect(0, 100, 1024, 101)}},
		{"the last line, and what is not shown", []int{767, 768, 4095}, []image.Rectangle{image.Rect(0, 767, 1024, 768)}},
		{"across words", []int{63, 64, 128}, []image.Rectangle{image.Rect(0, 63, 1024, 65), image.Rect(0, 128, 1024, 129)}},
	} {
		c.guest.pages = test.pages
		if u := v.Update(); !slices.Equal(u.Damage, test.want) {
			t.Errorf("%s: %v, want %v", test.name, u.Damage, test.want)
		}
	}
	c.dispi(dispiVirtWidth, 2048)
	c.dispi(dispiXOffset, 16)
	c.dispi(dispiYOffset, 3)
	u = v.Update()
	if u.Frame.Geometry != (display.Geometry{Width: 1024, Height: 768, Stride: 8192, Offset: 3*8192 + 64}) {
		t.Fatalf("scrolled: %+v", u.Frame.Geometry)
	}
	c.guest.pages = []int{6}
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, 0, 1008, 1)}) {
		t.Errorf("half a line: %v", u.Damage)
	}
	c.dispi(dispiVirtHeight, 1)
	if got := c.dispiRead(dispiVirtHeight); got != 2048 {
		t.Errorf("%d lines of 8 KiB in 16 MiB", got)
	}
	c.dispi(dispiYOffset, 2000) // the last lines are not there
	if u := v.Update(); !u.Frame.Off() {
		t.Errorf("shows %+v", u.Frame)
	}
	c.dispi(dispiYOffset, 0)
	c.in(0x3da)
	c.out(0x3c0, 0)
	if u := v.Update(); !u.Frame.Off() {
		t.Error("a blank screen is shown")
	}
}

func TestDepths(t *testing.T) {
	for _, test := range []struct {
		bpp    uint16
		bytes  []byte
		colour color.RGBA
	}{
		{32, []byte{3, 2, 1, 0}, color.RGBA{1, 2, 3, 255}},
		{24, []byte{3, 2, 1}, color.RGBA{1, 2, 3, 255}},
		{16, []byte{0x1f, 0xf8}, color.RGBA{255, 0, 255, 255}},
		{15, []byte{0x1f, 0x7c}, color.RGBA{255, 0, 255, 255}},
		{8, []byte{77}, dac(77)},
		{0, []byte{77}, dac(77)},
	} {
		c := newCard(t, 1<<20)
		c.set(mode13)
		c.vbe(320, 200, test.bpp)
		copy(c.vram[(320*9+4)*len(test.bytes):], test.bytes)
		c.guest.pages = []int{320 * 9 * len(test.bytes) / pageSize, (320*9+4)*len(test.bytes)/pageSize + 1}
		c.sees(image.Pt(320, 200), map[image.Point]color.RGBA{{4, 9}: test.colour})
	}
}

// TestPlanesOfVBE has 800x600 in 16 colours, more than a VGA's own memory, by banks.
func TestPlanesOfVBE(t *testing.T) {
	c := newCard(t, 1<<20)
	c.set(mode12)
	c.vbe(800, 600, 4)
	c.poke(0xa0000+100*2+1, 0x01)
	c.dispi(dispiBank, 0)
	c.out(0x3c4, 2, 0x0f)
	line := 599 * 100
	c.poke(0xa0000+uint64(line), 0x80)
	c.sees(image.Pt(800, 600), map[image.Point]color.RGBA{{15, 2}: dac(15), {14, 2}: dac(0), {0, 599}: dac(15)})
	c.dispi(dispiBank, 3)
	c.poke(0xa0000+0x1234, 1)
	if c.vram[4*(3<<16+0x1234)] != 1 {
		t.Error("bank 3 is elsewhere")
	}
}

func TestBanks(t *testing.T) {
	c := newCard(t, 1<<20)
	c.vbe(640, 480, 16)
	c.dispi(dispiBank, 3)
	c.poke(0xa0010, 0x12)
	if c.vram[3<<16+16] != 0x12 || c.peek(0xa0010) != 0x12 {
		t.Error("bank 3 is not in the window")
	}
	c.dispi(dispiBank, 16) // there are 16
	if c.dispiRead(dispiBank) != 3 {
		t.Error("a bank beyond the memory")
	}
	if c.poke(0xb0000, 1); c.peek(0xb0000) != 0xff {
		t.Error("the window has more than 64 KiB")
	}
	v := c.surface.NewViewer()
	defer v.Close()
	v.Update()
	c.poke(0xa0000+0x8000, 1)
	line := (3<<16 + 0x8000) / 1280
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, line, 640, line+4)}) {
		t.Errorf("%v; line %d was written", u.Damage, line)
	}
}

func TestMMIO(t *testing.T) {
	c := newCard(t, 16<<20)
	m := (*mmio)(c.Device)
	read := func(off uint64, n int) uint64 {
		p := make([]byte, n)
		m.Read(off, p)
		return littleEndian(p)
	}
	if v := read(0, 8); v != 0x00ffffffffffff00 {
		t.Errorf("EDID begins with %#x", v)
	}
	m.Write(0x500+2*dispiXRes, binary.LittleEndian.AppendUint16(nil, 800))
	for _, test := range []struct {
		off  uint64
		n    int
		want uint64
	}{
		{0x500, 2, 0xb0c5}, {0x501, 1, 0xb0}, {0x502, 2, 800}, {0x502, 1, 0x20}, {0x514, 2, 256}, {0x516, 2, 0},
		{0x600, 4, 8}, {0x604, 4, 0x1e1e1e1e}, {0x600, 8, 0x1e1e1e1e00000008}, {0x607, 1, 0x1e}, {0x608, 4, 0},
		{127, 2, uint64(c.edid[127])}, {0x3ff, 1, 0}, {0xfff, 1, 0},
	} {
		if got := read(test.off, test.n); got != test.want {
			t.Errorf("%#x+%d is %#x, want %#x", test.off, test.n, got, test.want)
		}
	}
	m.Write(0x404, []byte{2, 5})
	if c.in(0x3c4) != 2 || c.in(0x3c5) != 5 || read(0x404, 2) != 0x0502 {
		t.Error("ports in BAR 2")
	}
	m.Write(0x604, []byte{0xbe, 0xbe, 0xbe, 0xbe})
	c.surface.Wish(image.Pt(1600, 900))
	w := int(c.edid[56]) | int(c.edid[58])>>4<<8
	if w != 1600 {
		t.Errorf("after a wish the monitor likes %d pixels", w)
	}
	c.surface.Wish(image.Pt(8192, 8192))
	w, h := int(c.edid[56])|int(c.edid[58])>>4<<8, int(c.edid[59])|int(c.edid[61])>>4<<8
	if 4*w*h > 16<<20 {
		t.Errorf("the monitor likes %dx%d, which is more than the video memory", w, h)
	}
}
