package display_test

import (
	"image"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
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
			before := threadTime(b)
			for b.Loop() {
				f.Copy(dst, 4*width, image.Rect(0, 0, width, height))
			}
			b.ReportMetric(float64(threadTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// threadTime is the processor time of this thread, which a busy machine does not change much.
func threadTime(b *testing.B) int64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
