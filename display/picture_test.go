package display_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
)

func TestSnapshot(t *testing.T) {
	s := display.NewSurface()
	var b bytes.Buffer
	if err := display.Snapshot(s, &b); !errors.Is(err, display.ErrOff) {
		t.Fatal(err)
	}
	src := displaytest.New(t, s, 33, 17)
	src.Quiet = true
	src.Fill(image.Rect(5, 6, 7, 8), 0x123456)
	if err := display.Snapshot(s, &b); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds() != image.Rect(0, 0, 33, 17) {
		t.Fatal(img.Bounds())
	}
	for y := range 17 {
		for x := range 33 {
			want := color.RGBA{A: 255}
			if image.Pt(x, y).In(image.Rect(5, 6, 7, 8)) {
				want = color.RGBA{0x12, 0x34, 0x56, 255}
			}
			if got := color.RGBAModel.Convert(img.At(x, y)); got != want {
				t.Fatalf("(%d, %d) is %v", x, y, got)
			}
		}
	}
	if src.IsWatched() {
		t.Error("a snapshot goes on looking")
	}
}

func TestFormats(t *testing.T) {
	for f, pixel := range map[display.Format][]byte{
		display.XRGB8888: {0x08, 0x84, 0xff, 0},
		display.XBGR8888: {0xff, 0x84, 0x08, 7},
		display.RGBX8888: {9, 0x08, 0x84, 0xff},
		display.BGRX8888: {9, 0xff, 0x84, 0x08},
		display.RGB888:   {0x08, 0x84, 0xff},
		display.RGB565:   {0x01, 0xfc}, // 6 bits of green give 0x82
		display.XRGB1555: {0x01, 0x7e},
	} {
		bpp := f.BytesPerPixel()
		m, err := display.NewMemory("test", 4096)
		if err != nil {
			t.Fatal(err)
		}
		fr := display.Frame{Geometry: display.Geometry{Width: 3, Height: 3, Stride: 3*bpp + 1, Offset: 5, Format: f}, Memory: m}
		copy(m.Bytes()[5+(3*bpp+1)+2*bpp:], pixel)
		dst := make([]byte, 3*16)
		fr.Copy(dst, 16, image.Rect(1, 1, 9, 9))
		for y := range 3 {
			for x := range 3 {
				got := [4]byte(dst[y*16+4*x:])
				want := [4]byte{0, 0, 0, 0xff}
				if x == 2 && y == 1 {
					want = [4]byte{0x08, 0x84, 0xff, 0xff}
					if f == display.RGB565 {
						want[1] = 0x82
					}
				} else if x == 0 || y == 0 {
					want = [4]byte{}
				}
				if got != want {
					t.Errorf("format %d: (%d, %d) became %x, want %x", f, x, y, got, want)
				}
			}
		}
		fr.Copy(dst[:20], 16, image.Rect(0, 0, 3, 3))  // too little room
		fr.Copy(dst, 4, image.Rect(-1, -1, 100, 1000)) // lines too short
		fr.Copy(nil, 0, image.Rect(0, 0, 3, 3))
		m.Release()
	}
}

func TestEDID(t *testing.T) {
	for _, size := range []image.Point{{1920, 1080}, {640, 480}, {3840, 2160}, {1, 1}, {100000, 100000}} {
		e := display.EDID(size.X, size.Y)
		var sum byte
		for _, v := range e {
			sum += v
		}
		w := int(e[54+2]) | int(e[54+4])>>4<<8
		h := int(e[54+5]) | int(e[54+7])>>4<<8
		if sum != 0 || w != min(max(size.X, 64), 4095) || h != min(max(size.Y, 64), 4095) {
			t.Errorf("%v: sum %d, %dx%d", size, sum, w, h)
		}
		clock := (int(e[54]) | int(e[55])<<8) * 10000
		total := (w + int(e[57])) * (h + int(e[60]))
		if hz := clock / total; size.X == 1920 && (hz < 59 || hz > 60) {
			t.Errorf("%v: %d Hz", size, hz)
		}
	}
}

// TestLongLines converts lines of every length up to some blocks, as pixel by pixel.
func TestLongLines(t *testing.T) {
	m, err := display.NewMemory("test", 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	for i := range m.Bytes() {
		m.Bytes()[i] = byte(i*i>>3 ^ i*29)
	}
	for f := display.XRGB8888; f <= display.XRGB1555; f++ {
		for width := range 70 {
			fr := display.Frame{Geometry: display.Geometry{Width: width + 1, Height: 2, Stride: 300, Offset: 3, Format: f}, Memory: m}
			got, want := make([]byte, 2*300), make([]byte, 2*300)
			fr.Copy(got, 300, fr.Bounds())
			for y := range 2 {
				for x := range fr.Width {
					fr.Copy(want, 300, image.Rect(x, y, x+1, y+1))
				}
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("format %d: a line of %d pixels", f, fr.Width)
			}
		}
	}
}
