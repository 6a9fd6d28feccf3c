package vga

import (
	"encoding/binary"
	"image"
	"image/color"
	"slices"
	"testing"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// guestMemory is video memory as the guest sees it: nowhere, with a log that a test writes.
type guestMemory struct {
	logging bool
	pages   []int
	asked   func() // nil for nobody
}

func (g *guestMemory) Place(uint64) error { return nil }
func (g *guestMemory) Remove() error      { return nil }

func (g *guestMemory) LogDirty(on bool) error {
	g.logging = on
	return nil
}

func (g *guestMemory) Dirty(bitmap []uint64) error {
	if g.asked != nil {
		g.asked()
	}
	clear(bitmap)
	for _, p := range g.pages {
		bitmap[p/64] |= 1 << (p % 64)
	}
	g.pages = nil
	return nil
}

// card is a VGA on a bus.
type card struct {
	*Device
	t       testing.TB
	ports   *bus.Bus
	memory  *bus.Bus
	surface *display.Surface
	guest   *guestMemory
	root    *pci.Root
}

func newCard(t testing.TB, vram int) *card {
	t.Helper()
	m, err := display.NewMemory("vram", vram)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	c := &card{t: t, ports: bus.New("port", nil), memory: bus.New("memory", nil), surface: display.NewSurface(), guest: &guestMemory{}}
	if c.Device, err = New(Config{Surface: c.surface, Memory: m, Guest: c.guest}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range c.Ports() {
		if err := c.ports.Map(p.Base, p.Size, p.Device); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.memory.Map(WindowBase, WindowSize, c.Window()); err != nil {
		t.Fatal(err)
	}
	if c.root, err = pci.NewRoot(pci.Config{Memory: c.memory, IO: c.ports, Buses: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.root.Plug(pci.Address{Device: 1}, c.Function()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *card) out(port uint64, v ...byte) { c.ports.Write(port, v) }

func (c *card) in(port uint64) byte {
	var p [1]byte
	c.ports.Read(port, p[:])
	return p[0]
}

func (c *card) poke(addr uint64, v ...byte) {
	for i, b := range v {
		c.memory.Write(addr+uint64(i), []byte{b})
	}
}

func (c *card) peek(addr uint64) byte {
	var p [1]byte
	c.memory.Read(addr, p[:])
	return p[0]
}

func (c *card) dispi(reg int, v uint16) {
	c.ports.Write(0x1ce, binary.LittleEndian.AppendUint16(nil, uint16(reg)))
	c.ports.Write(0x1cf, binary.LittleEndian.AppendUint16(nil, v))
}

func (c *card) dispiRead(reg int) uint16 {
	c.ports.Write(0x1ce, binary.LittleEndian.AppendUint16(nil, uint16(reg)))
	var p [2]byte
	c.ports.Read(0x1cf, p[:])
	return binary.LittleEndian.Uint16(p[:])
}

// vbe sets a mode as the BIOS does.
func (c *card) vbe(width, height, bpp uint16) {
	c.dispi(dispiEnable, 0)
	c.dispi(dispiXRes, width)
	c.dispi(dispiYRes, height)
	c.dispi(dispiBPP, bpp)
	c.dispi(dispiEnable, dispiOn|dispiLinear)
	c.in(0x3da)
	c.out(0x3c0, 0x20)
}

// registersOf are those of the standard modes (IBM VGA Technical Reference, section 2).
type registersOf struct {
	misc           byte
	seq, crtc, gfx []byte
	attr           []byte // from 10h
}

var (
	mode03 = registersOf{
		0x67, []byte{3, 0, 3, 0, 2},
		[]byte{0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
		[]byte{0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff}, []byte{0x0c, 0, 0x0f, 8, 0},
	}
	mode04 = registersOf{
		0x63, []byte{3, 9, 3, 0, 2},
		[]byte{0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0, 0x96, 0xb9, 0xa2, 0xff},
		[]byte{0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff}, []byte{0x01, 0, 0x03, 0, 0},
	}
	mode06 = registersOf{
		0x63, []byte{3, 1, 1, 0, 6},
		[]byte{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0, 0x96, 0xb9, 0xc2, 0xff},
		[]byte{0, 0, 0, 0, 0, 0, 0x0d, 0x0f, 0xff}, []byte{0x01, 0, 0x01, 0, 0},
	}
	mode0d = registersOf{
		0x63, []byte{3, 9, 0x0f, 0, 6},
		[]byte{0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0, 0x96, 0xb9, 0xe3, 0xff},
		[]byte{0, 0, 0, 0, 0, 0, 5, 0x0f, 0xff}, []byte{0x01, 0, 0x0f, 0, 0},
	}
	mode12 = registersOf{
		0xe3, []byte{3, 1, 0x0f, 0, 6},
		[]byte{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28, 0, 0xe7, 0x04, 0xe3, 0xff},
		[]byte{0, 0, 0, 0, 0, 0, 5, 0x0f, 0xff}, []byte{0x01, 0, 0x0f, 0, 0},
	}
	mode13 = registersOf{
		0x63, []byte{3, 1, 0x0f, 0, 0x0e},
		[]byte{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
		[]byte{0, 0, 0, 0, 0, 0x40, 5, 0x0f, 0xff}, []byte{0x41, 0, 0x0f, 0, 0},
	}
)

// set programs a mode with a palette in which colour i of 16 is DAC register i, and DAC register i is (i, 2i, 4i) of 63.
func (c *card) set(m registersOf) {
	c.out(0x3c2, m.misc)
	for i, v := range m.seq {
		c.out(0x3c4, byte(i), v)
	}
	c.out(0x3d4, 0x11, 0)
	for i, v := range m.crtc {
		c.out(0x3d4, byte(i), v)
	}
	for i, v := range m.gfx {
		c.out(0x3ce, byte(i), v)
	}
	c.in(0x3da)
	for i := range byte(16) {
		c.out(0x3c0, i)
		c.out(0x3c0, i)
	}
	for i, v := range m.attr {
		c.out(0x3c0, 0x10+byte(i))
		c.out(0x3c0, v)
	}
	c.out(0x3c0, 0x20)
	c.out(0x3c6, 0xff)
	c.out(0x3c8, 0)
	for i := range 256 {
		c.out(0x3c9, byte(i))
		c.out(0x3c9, byte(2*i))
		c.out(0x3c9, byte(4*i))
	}
}

// dac is what DAC register i looks like after set.
func dac(i int) color.RGBA {
	wide := func(v int) uint8 { return uint8(v&63<<2 | v&63>>4) }
	return color.RGBA{wide(i), wide(2 * i), wide(4 * i), 255}
}

// sees checks pixels of the picture.
func (c *card) sees(size image.Point, pixels map[image.Point]color.RGBA) {
	c.t.Helper()
	img, err := c.surface.Image()
	if err != nil {
		c.t.Fatal(err)
	}
	if img.Rect.Size() != size {
		c.t.Fatalf("the picture has %v pixels, want %v", img.Rect.Size(), size)
	}
	for at, want := range pixels {
		if got := img.RGBAAt(at.X, at.Y); got != want {
			c.t.Errorf("%v is %v, want %v", at, got, want)
		}
	}
}

func TestText(t *testing.T) {
	c := newCard(t, MinVRAM)
	c.set(mode03)
	// A font: plane 2, byte after byte.
	c.out(0x3c4, 2, 4)
	c.out(0x3c4, 4, 6)
	c.out(0x3ce, 5, 0)
	c.out(0x3ce, 6, 4)
	c.poke(WindowBase+32*'A'+3, 0x81)
	c.poke(WindowBase+32*0xc4+3, 0xff)
	c.poke(WindowBase+0x4000+32*'A'+3, 0x40) // another
	c.out(0x3c4, 2, 3)
	c.out(0x3c4, 4, 2)
	c.out(0x3ce, 5, 0x10)
	c.out(0x3ce, 6, 0x0e)
	at := uint64(0xb8000 + 2*(80*2+3))
	c.poke(at, 'A', 0x1e, 0xc4, 0x97, 'A', 0x07)
	if c.peek(at) != 'A' || c.peek(at+1) != 0x1e {
		t.Error("text does not read back")
	}
	x, y := 3*9, 2*16+3
	back, fore := dac(1), dac(14)
	c.sees(image.Pt(720, 400), map[image.Point]color.RGBA{
		{x, y}: fore, {x + 1, y}: back, {x + 7, y}: fore, {x + 8, y}: back, // the ninth is not one of a line
		{x, y - 1}: back, {x - 1, y}: dac(0),
		{x + 9, y}: dac(7), {x + 17, y}: dac(7), {x + 10, y + 1}: dac(1), // a line goes on; background 9 blinks
	})
	c.out(0x3ce, 6, 0x0e)
	c.out(0x3c4, 3, 0x04)  // characters with bit 3 of their attribute from font 1
	c.out(0x3d4, 0xe, 0)   // cursor
	c.out(0x3d4, 0xf, 165) // onto the third one
	c.sees(image.Pt(720, 400), map[image.Point]color.RGBA{
		{x, y}: back, {x + 1, y}: dac(6), {x + 18, y}: dac(7), {x + 18, y + 10}: dac(7), {x + 26, y + 10}: dac(7), {x + 26, y + 9}: dac(0),
	})
	c.out(0x3c4, 1, 1) // 8 dots
	c.sees(image.Pt(640, 400), nil)
	c.out(0x3c4, 1, 0x21)
	if _, err := c.surface.Image(); err != display.ErrOff {
		t.Error("a screen that is off:", err)
	}
}

// TestDamageOfText has a viewer see only what changed.
func TestDamageOfText(t *testing.T) {
	c := newCard(t, MinVRAM)
	c.set(mode03)
	v := c.surface.NewViewer()
	defer v.Close()
	if !c.guest.logging {
		t.Error("no log while somebody looks")
	}
	v.Update()
	if u := v.Update(); len(u.Damage) != 0 {
		t.Errorf("nothing changed: %v", u.Damage)
	}
	c.poke(0xb8000+2*(80*10+20)+1, 0x70)
	cell := image.Rect(20*9, 160, 21*9, 176)
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{cell}) {
		t.Errorf("%v, want %v", u.Damage, cell)
	}
	c.poke(0xb8000+2*(80*10+20)+1, 0x70)
	if u := v.Update(); len(u.Damage) != 0 {
		t.Errorf("the same again: %v", u.Damage)
	}
	c.vram[4*(80*10+21)+1] = 0x20 // through BAR 0
	c.guest.pages = []int{(4 * 80 * 10) / pageSize}
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{cell.Add(image.Pt(9, 0))}) {
		t.Errorf("%v", u.Damage)
	}
	v.Close()
	if c.guest.logging {
		t.Error("a log for nobody")
	}
}

func TestPlanar(t *testing.T) {
	c := newCard(t, MinVRAM)
	c.set(mode12)
	gc := func(i, v byte) { c.out(0x3ce, i, v) }
	at := func(x, y int) uint64 { return uint64(WindowBase + y*80 + x/8) }
	// Write mode 0 with set/reset: a colour through a bit mask.
	gc(0, 0x0a)
	gc(1, 0x0f)
	gc(8, 0x40)
	c.peek(at(16, 5))
	c.poke(at(16, 5), 0)
	gc(1, 0)
	gc(8, 0xff)
	// Map mask.
	c.out(0x3c4, 2, 4)
	c.poke(at(24, 5), 0x0f)
	c.out(0x3c4, 2, 0x0f)
	// Write mode 1 copies the latches.
	gc(5, 1)
	c.peek(at(16, 5))
	c.poke(at(32, 5), 0)
	// Write mode 2: the data is a colour.
	gc(5, 2)
	gc(8, 0x80)
	c.peek(at(40, 5))
	c.poke(at(40, 5), 0x05)
	// XOR with what is there.
	gc(3, 0x18)
	c.peek(at(40, 5))
	c.poke(at(40, 5), 0x0f)
	// Write mode 3: the data is a mask, here rotated by one, the colour set/reset.
	gc(3, 1)
	gc(5, 3)
	gc(8, 0xff)
	gc(0, 0x09)
	c.peek(at(48, 5))
	c.poke(at(48, 5), 0x02)
	gc(3, 0)
	c.sees(image.Pt(640, 480), map[image.Point]color.RGBA{
		{16, 5}: dac(0), {17, 5}: dac(10), {27, 5}: dac(0), {28, 5}: dac(4), {31, 5}: dac(4),
		{33, 5}: dac(10), {34, 5}: dac(0), {40, 5}: dac(10), {41, 5}: dac(0), {54, 5}: dac(0), {55, 5}: dac(9), {17, 6}: dac(0),
	})
	// Read mode 1 compares colours.
	gc(5, 8)
	gc(2, 10)
	gc(7, 15)
	if v := c.peek(at(16, 5)); v != 0x40 {
		t.Errorf("pixels of colour 10: %#x", v)
	}
	gc(7, 0)
	if v := c.peek(at(16, 5)); v != 0xff {
		t.Errorf("where no plane counts: %#x", v)
	}
	// Read mode 0 reads a plane.
	gc(5, 0)
	gc(4, 3)
	if v := c.peek(at(16, 5)); v != 0x40 {
		t.Errorf("plane 3 has %#x", v)
	}
	// Split screen: from line 100 on address 0 shows, and the start moved.
	c.out(0x3d4, 0x0d, 80)
	c.out(0x3d4, 0x18, 99)
	c.out(0x3d4, 0x07, 0x3e&^0x10)
	c.out(0x3d4, 0x09, 0)
	c.sees(image.Pt(640, 480), map[image.Point]color.RGBA{{17, 4}: dac(10), {17, 105}: dac(10), {17, 104}: dac(0)})
}

func TestOtherGraphics(t *testing.T) {
	for name, test := range map[string]struct {
		mode   registersOf
		poke   map[uint64]byte
		size   image.Point
		pixels map[image.Point]color.RGBA
	}{
		"320x200, 256 colours": {
			mode13, map[uint64]byte{0xa0000 + 320*7 + 5: 200}, image.Pt(640, 400),
			map[image.Point]color.RGBA{{10, 14}: dac(200), {11, 15}: dac(200), {12, 14}: dac(0), {9, 14}: dac(0), {10, 16}: dac(0)},
		},
		"320x200, 16 colours": {
			mode0d, map[uint64]byte{0xa0000 + 40*7 + 1: 0x80}, image.Pt(640, 400),
			map[image.Point]color.RGBA{{16, 14}: dac(15), {17, 15}: dac(15), {18, 14}: dac(0)},
		},
		"CGA, 4 colours": {
			mode04, map[uint64]byte{0xb8000 + 80*3 + 5: 0x1b, 0xb8000 + 0x2000: 0x80}, image.Pt(640, 400),
			map[image.Point]color.RGBA{{40, 12}: dac(0), {42, 12}: dac(1), {44, 13}: dac(2), {46, 12}: dac(3), {46, 14}: dac(0), {0, 2}: dac(2), {0, 4}: dac(0)},
		},
		"CGA, 2 colours": {
			mode06, map[uint64]byte{0xb8000 + 80*3 + 5: 0x01, 0xb8000 + 0x2000 + 80*3: 0x80}, image.Pt(640, 400),
			map[image.Point]color.RGBA{{47, 12}: dac(1), {46, 12}: dac(0), {0, 14}: dac(1), {0, 12}: dac(0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCard(t, MinVRAM)
			c.set(test.mode)
			for at, v := range test.poke {
				c.poke(at, v)
				if got := c.peek(at); got != v {
					t.Errorf("%#x reads %#x", at, got)
				}
			}
			c.sees(test.size, test.pixels)
		})
	}
}

func TestSnapshotCycle(t *testing.T) {
	c := newCard(t, 1<<20)
	c.set(mode13)
	c.poke(0xa0000, 1, 2, 3)
	c.dispi(dispiBPP, 32)
	c.vram[len(c.vram)-1] = 9
	c.out(0x3c4, 2)
	var next *card
	statetest.Cycle(t, c.Device, func() state.Device {
		next = newCard(t, 1<<20)
		next.vram[77] = 1
		return next.Device
	})
	next.sees(image.Pt(640, 400), map[image.Point]color.RGBA{{2, 0}: dac(2), {40, 0}: dac(0)})
	var w state.Writer
	c.Save(&w)
	if err := newCard(t, 2<<20).Restore(state.NewReader(w.Data())); err == nil {
		t.Error("a card with other memory took the state")
	}
}
