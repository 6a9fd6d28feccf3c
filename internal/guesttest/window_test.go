package guesttest

import (
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/internal/desktop"
)

// TestWindow looks at a machine and types into it by a window of an X server, from inside its sandbox. Killed while it has the keyboard it leaves nothing grabbed.
func TestWindow(t *testing.T) {
	for _, name := range []string{"Xvfb", "xdotool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	f := newPCFile(t, "screen:7,events:vmm:2")
	f.set("vmm.input", "virtio")
	t.Setenv("DISPLAY", desktop.XServer(t, "1280x1024"))
	g := f.start(t, "--window")
	g.screenStep("text")
	g.goOn()
	img := g.screenStep("pattern")
	c, err := xgb.NewConn()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tree, err := xproto.QueryTree(c, xproto.Setup(c).DefaultScreen(c).Root).Reply()
	if err != nil || len(tree.Children) != 1 {
		t.Fatalf("windows: %+v, %v", tree, err)
	}
	size := img.Bounds().Size()
	wrong := -1
	for deadline := time.Now().Add(limit); wrong != 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got, err := xproto.GetImage(c, xproto.ImageFormatZPixmap, xproto.Drawable(tree.Children[0]), 0, 0, uint16(size.X), uint16(size.Y), ^uint32(0)).Reply()
		if err != nil {
			continue // the window is still smaller
		}
		wrong = 0
		for i := range size.X * size.Y {
			if pixel(img, i%size.X, i/size.X) != binary.LittleEndian.Uint32(got.Data[4*i:])&0xffffff {
				wrong++
			}
		}
	}
	if wrong != 0 {
		t.Errorf("%d pixels of %v are not what the screenshot shows", wrong, size)
	}
	for _, step := range []string{"square", "mode", "wish"} {
		g.goOn()
		g.screenStep(step)
	}
	g.goOn()
	g.expect("^waiting for events$")
	if out, err := exec.Command("xdotool", "mousemove", "30", "20", "key", "a").CombinedOutput(); err != nil {
		t.Fatalf("xdotool: %v\n%s", err, out)
	}
	for _, want := range []string{"0 1 30 1", "0 1 30 0"} {
		g.expect("^event " + want + "$")
	}
	grab := func() byte {
		r, err := xproto.GrabKeyboard(c, false, xproto.Setup(c).DefaultScreen(c).Root, xproto.TimeCurrentTime, xproto.GrabModeAsync, xproto.GrabModeAsync).Reply()
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	if out, err := exec.Command("xdotool", "click", "1", "key", "b").CombinedOutput(); err != nil {
		t.Fatalf("xdotool: %v\n%s", err, out)
	}
	for _, want := range []string{"1 1 272 1", "1 1 272 0", "0 1 48 1", "0 1 48 0"} {
		g.expect("^event " + want + "$")
	}
	if got := grab(); got != xproto.GrabStatusAlreadyGrabbed {
		t.Errorf("after a click the keyboard is not the machine's: %d", got)
	}
	if pictures != "" {
		if out, err := exec.Command("import", "-window", "root", filepath.Join(pictures, "TestWindow.png")).CombinedOutput(); err != nil {
			t.Logf("import: %v\n%s", err, out)
		}
	}
	_ = g.cmd.Process.Kill()
	_ = g.wait()
	eventually(t, "the keyboard is free", func() bool { return grab() == xproto.GrabStatusSuccess })
}
