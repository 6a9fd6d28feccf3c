// Package desktop starts what tests need of a user's desktop, where it is installed: an X server without a screen, and a browser.
package desktop

import (
	"bufio"
	"image"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// XServer starts an X server with a screen in memory until the test ends, and returns the name of its display. size is WIDTHxHEIGHT.
func XServer(t testing.TB, size string, options ...string) (display string) {
	t.Helper()
	path, err := exec.LookPath("Xvfb")
	if err != nil {
		t.Skip(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(path, append([]string{"-displayfd", "3", "-screen", "0", size + "x24", "-nolisten", "tcp", "-noreset"}, options...)...)
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Skipf("Xvfb does not start: %v", err)
	}
	return ":" + strings.TrimSpace(line)
}

// Hands types and clicks on an X server.
func Hands(t testing.TB, display string, args ...string) {
	t.Helper()
	c := exec.Command("xdotool", args...)
	c.Env = append(os.Environ(), "DISPLAY="+display)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("xdotool %v: %v\n%s", args, err, out)
	}
}

// Picture is what an X server shows, all of it.
func Picture(t testing.TB, display string) *image.RGBA {
	t.Helper()
	c, err := xgb.NewConnDisplay(display)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	root := xproto.Setup(c).DefaultScreen(c)
	img := image.NewRGBA(image.Rect(0, 0, int(root.WidthInPixels), int(root.HeightInPixels)))
	got, err := xproto.GetImage(c, xproto.ImageFormatZPixmap, xproto.Drawable(root.Root), 0, 0, root.WidthInPixels, root.HeightInPixels, ^uint32(0)).Reply()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+3 < min(len(got.Data), len(img.Pix)); i += 4 {
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = got.Data[i+2], got.Data[i+1], got.Data[i], 0xff
	}
	return img
}
