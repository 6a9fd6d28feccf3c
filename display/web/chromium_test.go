package web

import (
	"image"
	"net/netip"
	"testing"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/display/vnc"
	"github.com/sharevm/vmm/internal/desktop"
)

// keys notes the keys and buttons that go down.
type keys chan input.Code

func (keys) Ready() bool  { return true }
func (keys) Backlog() int { return 0 }
func (k keys) Frame(events []input.Event) {
	for _, e := range events {
		if e.Type == input.TypeKey && e.Value == 1 {
			k <- e.Code
		}
	}
}

// TestChromium has a browser show the page: the guest's picture is there, a key and a click arrive, and texts go each way.
func TestChromium(t *testing.T) {
	surface, hub, clip := display.NewSurface(), &input.Hub{}, &frontend.Clipboard{}
	displaytest.New(t, surface, 640, 480).Fill(image.Rect(0, 0, 640, 480), 0x123456)
	typed := make(keys, 100)
	defer hub.Attach(input.Keyboard, typed)()
	defer hub.Attach(input.Tablet, typed)()
	text := make(chan string, 10)
	guest := clip.Join(func(s string) { text <- s })
	v := vnc.New(vnc.Config{Machine: frontend.Machine{Name: "in a browser", Surface: surface, Input: hub, Clipboard: clip}})
	defer v.Close()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Config{VNC: v})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := desktop.Open(t, s.URL())
	b.Eventually("a connection", func() bool { return b.Value(`document.title`) == "in a browser" })
	b.Eventually("the picture", func() bool {
		return b.Value(`Array.from(document.querySelector("canvas").getContext("2d").getImageData(100, 100, 1, 1).data).join()`) == "18,52,86,255"
	})
	b.Press("a", "KeyA", 65)
	if c := <-typed; c != input.KeyA {
		t.Errorf("key %v", c)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.Do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": 300, "y": 300, "button": "left", "clickCount": 1}, nil)
	}
	if c := <-typed; c != input.ButtonLeft {
		t.Errorf("button %v", c)
	}
	guest.Set("from the guest: €")
	b.Eventually("the guest's text", func() bool { return b.Value(`navigator.clipboard.readText()`) == "from the guest: €" })
	b.Value(`navigator.clipboard.writeText("from the browser: €").then(() => document.getElementById("paste").click())`)
	select {
	case got := <-text:
		if got != "from the browser: €" {
			t.Errorf("%q", got)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("nothing is pasted; the page says %q", b.Value(`document.getElementById("status").textContent`))
	}
}
