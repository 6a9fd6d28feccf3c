package gpu

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/state"
)

// BenchmarkFrame1080p is what a driver does for each picture of which it has drawn everything: the transfer and the flush of 1920 by 1080 pixels, from memory in one piece and
// in pages anywhere, while somebody watches.
func BenchmarkFrame1080p(b *testing.B) {
	const width, height = 1920, 1080
	const size = (width*height*pixelSize + 4095) &^ 4095
	for _, pieces := range []int{1, size / 4096} {
		b.Run(strconv.Itoa(pieces)+" pieces", func(b *testing.B) {
			c := &testCard{screens: newScreens(1)}
			var err error
			if c.dev, err = New(Config{Screens: c.screens}); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = c.dev.Close() })
			c.Driver = virtiotest.New(b, c.dev)
			c.Start(^uint64(0))
			c.must(cmdCreate2D, 5, 2, width, height)
			c.back(5, size, pieces, false)
			c.must(cmdSetScanout, 0, 0, width, height, 0, 5)
			v := c.screens[0].NewViewer()
			defer v.Close()
			v.Update()
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				c.must(cmdTransferToHost2D, 0, 0, width, height, 0, 0, 5, 0)
				c.must(cmdFlush, 0, 0, width, height, 5, 0)
				if u := v.Update(); len(u.Damage) != 1 || u.Frame.Format != display.XRGB8888 {
					b.Fatal("no damage")
				}
			}
		})
	}
}

// BenchmarkRestore is what it takes to have a card go on with a picture of 1024 by 768 pixels.
func BenchmarkRestore(b *testing.B) {
	const width, height = 1024, 768
	c := &testCard{screens: newScreens(1)}
	var err error
	if c.dev, err = New(Config{Screens: c.screens}); err != nil {
		b.Fatal(err)
	}
	defer c.dev.Close()
	c.Driver = virtiotest.New(b, c.dev)
	c.Start(^uint64(0))
	c.must(cmdCreate2D, 5, 2, width, height)
	for _, page := range c.back(5, width*height*pixelSize, 1, false) {
		for i := range page {
			page[i] = byte(i) | 1
		}
	}
	c.must(cmdTransferToHost2D, 0, 0, width, height, 0, 0, 5, 0)
	c.must(cmdSetScanout, 0, 0, width, height, 0, 5)
	pages, err := os.Create(filepath.Join(b.TempDir(), "pages"))
	if err != nil {
		b.Fatal(err)
	}
	defer pages.Close()
	w := state.Writer{Aside: state.NewAside(pages)}
	c.dev.Save(&w)
	next, err := New(Config{Screens: newScreens(1)})
	if err != nil {
		b.Fatal(err)
	}
	defer next.Close()
	b.SetBytes(width * height * pixelSize)
	for b.Loop() {
		r := state.NewReader(w.Data())
		r.Aside = state.NewAside(pages)
		if err := next.Restore(r); err != nil {
			b.Fatal(err)
		}
	}
}
