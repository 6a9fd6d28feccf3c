package vga

import "testing"

// BenchmarkLook1080p is a viewer's look at a picture of which the guest has changed every page. What the hypervisor takes for the log comes on top: see
// vmm.BenchmarkDirtyLog.
func BenchmarkLook1080p(b *testing.B) {
	c := newCard(b, 16<<20)
	c.vbe(1920, 1080, 32)
	all := make([]int, 1920*1080*4/pageSize)
	for i := range all {
		all[i] = i
	}
	v := c.surface.NewViewer()
	defer v.Close()
	v.Update()
	b.ReportAllocs()
	for b.Loop() {
		c.guest.pages = all
		if len(v.Update().Damage) == 0 {
			b.Fatal("no damage")
		}
	}
}

// BenchmarkLookText is a look at a text screen of which a cell has changed.
func BenchmarkLookText(b *testing.B) {
	c := newCard(b, MinVRAM)
	c.set(mode03)
	v := c.surface.NewViewer()
	defer v.Close()
	b.ReportAllocs()
	for n := byte(0); b.Loop(); n++ {
		c.memory.Write(0xb8000, []byte{n})
		v.Update()
	}
}
