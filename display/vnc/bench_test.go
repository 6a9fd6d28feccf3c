package vnc

import (
	"image"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/display/displaytest"
)

// BenchmarkEncode is the way of a whole picture of 1920x1080 into each encoding: a desktop with areas of few colours, and noise.
func BenchmarkEncode(b *testing.B) {
	size := image.Pt(1920, 1080)
	for _, content := range []string{"desktop", "noise"} {
		s, src := screen(b, "", size.X, size.Y)
		r := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			x, y := r.IntN(size.X), r.IntN(size.Y)
			src.Fill(image.Rect(x, y, x+r.IntN(300), y+r.IntN(40)), uint32(r.IntN(30))*0x081018)
		}
		if content == "noise" {
			for i := range size.X * size.Y {
				p := image.Pt(i%size.X, i/size.X)
				src.Fill(image.Rectangle{p, p.Add(image.Pt(1, 1))}, r.Uint32()&0xffffff)
			}
		}
		v := s.cfg.Machine.Surface.NewViewer()
		u := v.Update()
		for name, encoding := range map[string]int32{"raw": encodingRaw, "zrle": encodingZRLE, "tight": encodingTight} {
			b.Run(content+"/"+name, func(b *testing.B) {
				c := newClient(deaf{}, s.cfg, "", nil)
				w := &work{format: ownFormat, caps: capabilities{encoding: encoding}}
				rects := split(nil, image.Rectangle{Max: size})
				total := 0
				b.ReportAllocs()
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				before := displaytest.ThreadTime(b)
				for b.Loop() {
					total = 0
					for _, r := range rects {
						n, _ := io.Discard.Write(c.encode(&u.Frame, r, w))
						total += n
					}
				}
				b.ReportMetric(float64((displaytest.ThreadTime(b)-before).Microseconds())/float64(b.N), "cpu-us/picture")
				b.ReportMetric(float64(total)/1024, "KiB/picture")
			})
		}
		v.Close()
	}
}
