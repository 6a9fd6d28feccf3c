package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/display/vnc"
)

// browser is a Chromium without a screen that is steered by the DevTools protocol, as messages that end in a zero byte.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	number  int
	session string
}

// open starts Chromium with a page.
func open(t *testing.T, url string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip(err)
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not one of the test's own, which have to be gone in the end: a process of Chromium's may outlive the first one for a moment.
	profile, err := os.MkdirTemp("", "vmm-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	c := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	c.ExtraFiles = []*os.File{in, out} // 3 and 4
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.session = ""
		_, _ = b.to.WriteString("{\"id\":0,\"method\":\"Browser.close\"}\x00")
		timer := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		timer.Stop()
		to.Close()
		from.Close()
	})
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": url}, &target)
	var session struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.do("Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"}}, nil)
	b.session = session.SessionID
	b.do("Page.bringToFront", nil, nil)
	b.do("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	return b
}

// do has the browser do something that has to succeed, and takes the answer.
func (b *browser) do(method string, params map[string]any, answer any) {
	b.t.Helper()
	if err := b.call(method, params, answer); err != nil {
		b.t.Fatal(err)
	}
}

// call is do, where the browser may refuse.
func (b *browser) call(method string, params map[string]any, answer any) error {
	b.t.Helper()
	b.number++
	m := map[string]any{"id": b.number, "method": method, "params": params}
	if params == nil {
		delete(m, "params")
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	p, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(p, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		p, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var got struct {
			ID     int
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal(p[:len(p)-1], &got); err != nil {
			b.t.Fatal(err)
		}
		if got.ID != b.number {
			continue // an event
		}
		if got.Error != nil {
			return fmt.Errorf("%s: %s", method, got.Error)
		}
		if answer != nil {
			if err := json.Unmarshal(got.Result, answer); err != nil {
				b.t.Fatal(err)
			}
		}
		return nil
	}
}

// value is what an expression of JavaScript comes to; nothing as long as there is no page.
func (b *browser) value(expression string) string {
	b.t.Helper()
	var got struct{ Result struct{ Value any } }
	if b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "userGesture": true}, &got) != nil {
		return ""
	}
	return fmt.Sprint(got.Result.Value)
}

// eventually waits until f holds.
func (b *browser) eventually(what string, f func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("in vain: %s; the page says %q", what, b.value(`document.getElementById("status").textContent`))
		}
	}
}

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
	b := open(t, s.URL())
	b.eventually("a connection", func() bool { return b.value(`document.title`) == "in a browser" })
	b.eventually("the picture", func() bool {
		return b.value(`Array.from(document.querySelector("canvas").getContext("2d").getImageData(100, 100, 1, 1).data).join()`) == "18,52,86,255"
	})
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65}, nil)
	}
	if c := <-typed; c != input.KeyA {
		t.Errorf("key %v", c)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": 300, "y": 300, "button": "left", "clickCount": 1}, nil)
	}
	if c := <-typed; c != input.ButtonLeft {
		t.Errorf("button %v", c)
	}
	guest.Set("from the guest: €")
	b.eventually("the guest's text", func() bool { return b.value(`navigator.clipboard.readText()`) == "from the guest: €" })
	b.value(`navigator.clipboard.writeText("from the browser: €").then(() => document.getElementById("paste").click())`)
	select {
	case got := <-text:
		if got != "from the browser: €" {
			t.Errorf("%q", got)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("nothing is pasted; the page says %q", b.value(`document.getElementById("status").textContent`))
	}
}
