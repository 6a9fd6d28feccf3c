package display_test

import (
	"image"
	"runtime"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
)

// BenchmarkCopy1080p is a frontend's copy of a whole picture, from each format.
func BenchmarkCopy1080p(b *testing.B) {
	const width, height = 1920, 1080
	m, err := display.NewMemory("bench", 4*width*height)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Release()
	for i := range m.Bytes() {
		m.Bytes()[i] = byte(i * 7)
	}
	dst := make([]byte, 4*width*height)
	for format := range display.XRGB1555 + 1 {
		b.Run(strconv.Itoa(int(format)), func(b *testing.B) {
			f := display.Frame{Memory: m, Geometry: display.Geometry{Width: width, Height: height, Stride: width * format.BytesPerPixel(), Format: format}}
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := displaytest.ThreadTime(b)
			for b.Loop() {
				f.Copy(dst, 4*width, image.Rect(0, 0, width, height))
			}
			b.ReportMetric(float64(displaytest.ThreadTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
