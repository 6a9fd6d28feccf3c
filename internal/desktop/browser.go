package desktop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
	"unicode"
)

// Browser is a Chromium without a screen that is steered by the DevTools protocol, as messages that end in a zero byte.
type Browser struct {
	t       testing.TB
	to      *os.File
	answers *os.File
	from    *bufio.Reader // answers
	number  int
	session string
}

// Open starts Chromium with a page, until the test ends. It is skipped where Chromium is not installed.
func Open(t testing.TB, url string) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("%v: make test-viewers installs it", err)
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
	b := &Browser{t: t, to: to, answers: from, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.session = ""
		_, _ = b.to.WriteString("{\"id\":0,\"method\":\"Browser.close\"}\x00")
		timer := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		timer.Stop()
		to.Close()
		from.Close()
	})
	var target struct{ TargetID string }
	b.Do("Target.createTarget", map[string]any{"url": url}, &target)
	var session struct{ SessionID string }
	b.Do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.Do("Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"}}, nil)
	b.session = session.SessionID
	b.Do("Page.bringToFront", nil, nil)
	b.Do("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	return b
}

// Do has the browser do something that has to succeed, and takes the answer.
func (b *Browser) Do(method string, params map[string]any, answer any) {
	b.t.Helper()
	if err := b.call(method, params, answer); err != nil {
		b.t.Fatal(err)
	}
}

// call is Do, where the browser may refuse.
func (b *Browser) call(method string, params map[string]any, answer any) error {
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
	if err := b.answers.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
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

// Value is what an expression of JavaScript comes to; nothing as long as there is no page.
func (b *Browser) Value(expression string) string {
	b.t.Helper()
	var got struct{ Result struct{ Value any } }
	if b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "userGesture": true}, &got) != nil {
		return ""
	}
	return fmt.Sprint(got.Result.Value)
}

// Eventually waits until f holds.
func (b *Browser) Eventually(what string, f func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("in vain: %s; the page says %q", what, b.Value(`document.getElementById("status").textContent`))
		}
	}
}

// Press presses a key and lets it go; code is its place on the keyboard (KeyA), key what it means (a).
func (b *Browser) Press(key, code string, virtual int) {
	b.t.Helper()
	b.key("keyDown", key, code, virtual)
	b.key("keyUp", key, code, virtual)
}

func (b *Browser) key(kind, key, code string, virtual int) {
	b.t.Helper()
	b.Do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": virtual}, nil)
}

// Screenshot is a picture of the page, as a PNG.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	var got struct{ Data []byte } // base64, as in JSON
	b.Do("Page.captureScreenshot", map[string]any{"format": "png"}, &got)
	return got.Data
}

// Type types a line of letters, digits and a few signs, and Enter.
func (b *Browser) Type(line string) {
	b.t.Helper()
	signs := map[rune]struct {
		code    string
		virtual int
		shift   bool
	}{
		' ': {"Space", 32, false}, '/': {"Slash", 191, false}, '-': {"Minus", 189, false}, '.': {"Period", 190, false}, '>': {"Period", 190, true},
	}
	for _, r := range line {
		code, virtual, shift := "", 0, false
		switch upper := unicode.ToUpper(r); {
		case r >= '0' && r <= '9':
			code, virtual = "Digit"+string(r), int(r)
		case upper >= 'A' && upper <= 'Z':
			code, virtual, shift = "Key"+string(upper), int(upper), r == upper
		default:
			s, ok := signs[r]
			if !ok {
				b.t.Fatalf("no key for %q", r)
			}
			code, virtual, shift = s.code, s.virtual, s.shift
		}
		if shift {
			b.key("keyDown", "Shift", "ShiftLeft", 16)
		}
		b.Press(string(r), code, virtual)
		if shift {
			b.key("keyUp", "Shift", "ShiftLeft", 16)
		}
	}
	b.Press("Enter", "Enter", 13)
}
