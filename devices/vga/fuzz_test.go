package vga

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
)

// FuzzVGA does arbitrary accesses to ports, window, BAR 2 and video memory, looks in between, and cycles through a snapshot. A step has 8 bytes: what to do,
// a width, an address and a value.
func FuzzVGA(f *testing.F) {
	record := func(m registersOf) []byte {
		var r recording
		for i, v := range m.seq {
			r.out(0x3c4, byte(i), v)
		}
		r.out(0x3c2, m.misc)
		for i, v := range m.crtc {
			r.out(0x3d4, byte(i), v)
		}
		for i, v := range m.gfx {
			r.out(0x3ce, byte(i), v)
		}
		r.out(0x3c0, 0x20)
		return append(r.steps, 2, 0, 0, 0, 0, 0, 0, 0)
	}
	for _, m := range []registersOf{mode03, mode04, mode06, mode0d, mode12, mode13} {
		f.Add(record(m))
	}
	for _, bpp := range []byte{4, 8, 15, 16, 24, 32} {
		var r recording
		r.dispi(dispiXRes, 0x40, 1)
		r.dispi(dispiYRes, 200, 0)
		r.dispi(dispiBPP, bpp, 0)
		r.dispi(dispiEnable, 0x41, 0)
		r.out(0x3c0, 0x20)
		r.dispi(dispiVirtWidth, 0, 4)
		r.dispi(dispiYOffset, 9, 0)
		f.Add(append(r.steps, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0x10, 0, 0x12, 0x34, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0))
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		c := newCard(t, MinVRAM)
		v := c.surface.NewViewer()
		defer func() { v.Close() }()
		looks := 0
		for n := 0; len(steps) >= 8 && n < 400; n++ {
			width := int(steps[1]%8) + 1
			addr := uint64(binary.LittleEndian.Uint16(steps[2:]))
			data := append([]byte(nil), steps[4:8]...)
			data = append(data, data...)[:width]
			ranges := c.Ports()
			switch steps[0] % 6 {
			case 0:
				p := ranges[addr>>14%3]
				off := addr & 0x3fff % p.Size
				c.ports.Write(p.Base+off, data)
				c.ports.Read(p.Base+off, data)
			case 1:
				c.memory.Write(WindowBase+addr*2, data)
				c.memory.Read(WindowBase+addr*2, data)
			case 2:
				if looks++; looks > 4 {
					break // each may draw a large picture
				}
				u := v.Update()
				for _, d := range u.Damage {
					if !d.In(u.Frame.Bounds()) {
						t.Fatalf("%v is outside %v", d, u.Frame.Bounds())
					}
				}
				if !u.Frame.Off() {
					_ = u.Frame.Line(u.Frame.Height - 1)
				}
			case 3:
				off := addr % (mmioSize - 8)
				(*mmio)(c.Device).Write(off, data)
				(*mmio)(c.Device).Read(off, data)
			case 4:
				var w, again state.Writer
				c.Save(&w)
				v.Close()
				next := newCard(t, MinVRAM)
				if err := next.Restore(state.NewReader(w.Data())); err != nil {
					t.Fatal(err)
				}
				if next.Save(&again); string(w.Data()) != string(again.Data()) {
					t.Fatal("a restored card saves another state")
				}
				c, v = next, next.surface.NewViewer()
			case 5:
				c.vram[int(addr)*4%len(c.vram)] = data[0]
				c.guest.pages = []int{int(addr) * 4 % len(c.vram) / pageSize}
			}
			steps = steps[8:]
		}
	})
}

// FuzzRestore has a card take a state that was tampered with: it refuses it, or works with it.
func FuzzRestore(f *testing.F) {
	c := newCard(f, MinVRAM)
	c.set(mode12)
	var w state.Writer
	c.Save(&w)
	f.Add(uint16(4500), byte(1))
	f.Add(uint16(100), byte(255))
	f.Fuzz(func(t *testing.T, at uint16, flip byte) {
		data := append([]byte(nil), w.Data()...)
		data[int(at)%len(data)] ^= flip
		c := newCard(t, MinVRAM)
		if c.Restore(state.NewReader(data)) == nil {
			v := c.surface.NewViewer()
			defer v.Close()
			v.Update()
		}
		c.out(0x3c9, 1, 2, 3)
	})
}

// recording collects steps for seeds.
type recording struct{ steps []byte }

func (r *recording) out(port uint16, v ...byte) {
	addr := port - 0x3c0 | 1<<14
	step := append([]byte{0, byte(len(v) - 1)}, byte(addr), byte(addr>>8))
	r.steps = append(append(r.steps, step...), append(v, make([]byte, 4-len(v))...)...)
}

func (r *recording) dispi(reg, low, high byte) {
	r.steps = append(r.steps, 0, 1, 0, 2<<6, reg, 0, 0, 0, 0, 1, 1, 2<<6, low, high, 0, 0)
}
