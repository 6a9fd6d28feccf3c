package vnc

import (
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestVncsnapshot has somebody else's viewer take a picture, in each encoding that we share with it.
func TestVncsnapshot(t *testing.T) {
	bin, err := exec.LookPath("vncsnapshot")
	if err != nil {
		t.Skip("vncsnapshot is not installed")
	}
	size := image.Pt(320, 200)
	s, src := screen(t, "", size.X, size.Y)
	for i := range 8 { // areas that JPEG keeps
		src.Fill(image.Rect(40*i, 24*i, 40*i+80, 24*i+48), rand.Uint32()&0xffffff)
	}
	at, err := s.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.cfg.Machine.Surface.Image()
	if err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"raw", "tight"} {
		file := filepath.Join(t.TempDir(), "picture.jpg")
		out, err := exec.Command(bin, "-quality", "100", "-encodings", encoding, fmt.Sprintf("127.0.0.1:%d", int(at.Port())-5900), file).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", encoding, err, out)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jpeg.Decode(f)
		f.Close()
		if err != nil || got.Bounds().Size() != size {
			t.Fatalf("%s: %v", encoding, err)
		}
		const near = 12 << 8 // of a colour; edges are blurred
		far := 0
		for y := range size.Y {
			for x := range size.X {
				r, g, b, _ := got.At(x, y).RGBA()
				wr, wg, wb, _ := want.At(x, y).RGBA()
				for _, d := range [3]int{int(r) - int(wr), int(g) - int(wg), int(b) - int(wb)} {
					if max(d, -d) > near {
						far++
						break
					}
				}
			}
		}
		if far > size.X*size.Y/20 {
			t.Errorf("%s: %d pixels of %d differ", encoding, far, size.X*size.Y)
		}
	}
}
