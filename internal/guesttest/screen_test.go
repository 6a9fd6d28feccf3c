package guesttest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/threadtime"
)

// pictures names a folder to which the tests of this file write what they saw, for a person to look at.
var pictures = os.Getenv("VMM_TEST_PICTURES")

// screenshot is what the only machine shows.
func screenshot(t *testing.T, name string, args ...string) image.Image {
	t.Helper()
	data := ask(t, append([]string{"screenshot", status(t).ID, "-o", "-"}, args...)...)
	keepPicture(t, name, data)
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// keepPicture keeps what the screen showed for a person to look at, if one wants to.
func keepPicture(t *testing.T, name string, png []byte) {
	t.Helper()
	if pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(pictures, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name+".png"), png, 0o644); err != nil {
		t.Error(err)
	}
}

// screenStep waits for a step of the guest's task, and returns what the screen shows then.
func (g *guest) screenStep(step string) image.Image {
	g.t.Helper()
	m := g.expect("^screen " + step + ` (\d+x\d+)$`)
	img := screenshot(g.t, step)
	if size := fmt.Sprintf("%dx%d", img.Bounds().Dx(), img.Bounds().Dy()); m[1] != "0x0" && m[1] != size {
		g.t.Errorf("%s: the picture has %s pixels, the guest draws %s", step, size, m[1])
	}
	return img
}

// goOn lets the guest take its next step.
func (g *guest) goOn() {
	g.t.Helper()
	if _, err := io.WriteString(g.stdin, "\n"); err != nil {
		g.t.Fatal(err)
	}
}

// checkPattern compares all pixels outside of some rectangles with the guest's pattern of that seed.
func checkPattern(t *testing.T, step string, img image.Image, seed uint32, except ...image.Rectangle) {
	t.Helper()
	wrong := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			want := drawn(seed, x, y)
			if got := pixel(img, x, y); got != want && !slices.ContainsFunc(except, image.Pt(x, y).In) {
				if wrong++; wrong < 4 {
					t.Errorf("%s: (%d, %d) is %#06x, the guest drew %#06x", step, x, y, got, want)
				}
			}
		}
	}
	if wrong > 3 {
		t.Errorf("%s: %d pixels are wrong", step, wrong)
	}
}

// drawn is what the guest's task has drawn at (x, y).
func drawn(seed uint32, x, y int) uint32 {
	return (seed*0x9e3779b1>>8 ^ uint32(x)*0x10101 + uint32(y)*0x30507) & 0xffffff
}

func pixel(img image.Image, x, y int) uint32 {
	c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
	return uint32(c.R)<<16 | uint32(c.G)<<8 | uint32(c.B)
}

// lit counts pixels that are not black.
func lit(img image.Image) (n int) {
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if pixel(img, x, y) != 0 {
				n++
			}
		}
	}
	return n
}

// square is what the guest's task paints red.
var square = image.Rect(100, 80, 150, 120)

// TestVGA has Linux's driver of the VGA draw: its console's text, a pattern in the monitor's favourite mode, a change, another mode.
func TestVGA(t *testing.T) {
	f := newPCFile(t, "screen:7,flood:1")
	f.set("svga.maxWidth", "1024")
	f.set("svga.maxHeight", "768")
	g := drawThrough(t, f)
	if s := g.said("^the card has no cursor$"); len(s) == 0 {
		t.Error("the VGA has a cursor")
	}
}

// TestVirtioGPU has Linux's driver of virtio-gpu do the same, with a cursor.
func TestVirtioGPU(t *testing.T) {
	for board, newFile := range map[string]func(*testing.T, string) *machineFile{"pc": newPCFile, "fast": newFastFileWithPCKernel} {
		t.Run(board, func(t *testing.T) {
			f := newFile(t, "screen:7,flood:1")
			f.set("vmm.display", "virtio")
			f.set("svga.maxWidth", "1024")
			f.set("svga.maxHeight", "768")
			g := drawThrough(t, f)
			if s := g.said("^the card has no cursor$"); len(s) > 0 {
				t.Error("no cursor")
			}
		})
	}
}

// newFastFileWithPCKernel begins a machine of the fast board with the kernel that has graphics drivers.
func newFastFileWithPCKernel(t *testing.T, tasks string) *machineFile {
	t.Helper()
	f := newPCFile(t, tasks)
	f.set("vmm.board", "fast")
	return f
}

// drawThrough runs the guest's task and compares each step with what the screen shows.
func drawThrough(t *testing.T, f *machineFile) *guest {
	t.Helper()
	f.cmdline = append(f.cmdline, "console=tty0", "console=ttyS0")
	g := f.start(t)
	if n := lit(g.screenStep("text")); n < 300 || n > 100000 {
		t.Errorf("%d pixels of text", n)
	}
	g.goOn()
	img := g.screenStep("pattern")
	if img.Bounds().Dx() != 1024 {
		t.Errorf("the guest chose %v", img.Bounds())
	}
	checkPattern(t, "pattern", img, 7)
	g.goOn()
	img = g.screenStep("square")
	checkPattern(t, "square", img, 7, square)
	if pixel(img, 100, 80) != 0xff0000 || pixel(img, 149, 119) != 0xff0000 {
		t.Error("the square is not red")
	}
	g.goOn()
	cursor := image.Rectangle{}
	if g.expect(`^(the card has no cursor|screen cursor .*)$`)[1] != "the card has no cursor" {
		cursor = image.Rect(300, 200, 364, 264)
		g.checkCursor(cursor)
		g.goOn()
	}
	img = g.screenStep("mode")
	checkPattern(t, "mode", img, 8, cursor)
	g.goOn()
	checkPattern(t, "wish", g.screenStep("wish"), 9, cursor)
	g.goOn()
	g.flood()
	g.finish()
	if s := g.said(`(?i)(vga|bochs|virtio_gpu|0000:00:01\.0|drm).*(fail|error|can't|mismatch|unable)`); len(s) > 0 {
		t.Errorf("the kernel complains: %q", s)
	}
	return g
}

// checkCursor looks at the cursor: 64 by 64 pixels of blue over the pattern, the first one half transparent.
func (g *guest) checkCursor(cursor image.Rectangle) {
	g.t.Helper()
	img := screenshot(g.t, "cursor")
	checkPattern(g.t, "cursor", img, 7, square, cursor)
	first, under := pixel(img, 300, 200), drawn(7, 300, 200)
	// Half of the red and green that lie under it, give or take a rounding, and blue beside.
	if red := int(first>>16) - int(under>>17); red < -1 || red > 1 || first&0xff < 0x80 {
		g.t.Errorf("the half transparent pixel is %#06x over %#06x", first, under)
	}
	if a, b := pixel(img, 301, 200), pixel(img, 363, 263); a != 0xff || b != 0xff {
		g.t.Errorf("the cursor is %#06x, %#06x", a, b)
	}
}

// flood has the guest redraw 1920 by 1080 pixels as fast as it can, at most 60 times a second, and reports what that costs threads that run no guest.
func (g *guest) flood() {
	g.t.Helper()
	g.expect("^flood begins$")
	before := threadtime.Of(g.cmd.Process.Pid)
	m := g.expect(`^flood drew (\d+) frames in (\d+) s$`)
	took := threadtime.Of(g.cmd.Process.Pid)
	frames, err := strconv.Atoi(m[1])
	if err != nil || frames == 0 {
		g.t.Fatalf("%q", m[0])
	}
	g.t.Logf("%s; the monitor's threads took %v for each, and exits %v", m[0], (took.Workers-before.Workers)/time.Duration(frames), (took.Exits-before.Exits)/time.Duration(frames))
}
