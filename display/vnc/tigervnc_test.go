package vnc

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/desktop"
)

// TestTigerVNC has TigerVNC's viewer look, on an X server without a screen: encrypted, with a password, in each of its ways to say that. A key typed into its window arrives, and so
// does what is copied on its side.
func TestTigerVNC(t *testing.T) {
	for _, name := range []string{"xtigervncviewer", "Xvfb", "xdotool", "xclip"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%v: make test-viewers installs it", err)
		}
	}
	home := t.TempDir()
	env := append(os.Environ(), "DISPLAY="+desktop.XServer(t, "800x600"), "HOME="+home, "VNC_USERNAME=anybody", "VNC_PASSWORD=secret12")
	for _, security := range []string{"X509Vnc", "X509Plain"} {
		t.Run(security, func(t *testing.T) {
			s, at, folder := secure(t, "secret12")
			keys := &sink{events: make(chan input.Event, 100)}
			defer s.cfg.Machine.Input.Attach(input.Keyboard, keys)()
			text := make(chan string, 10)
			guest := s.cfg.Machine.Clipboard.Join(func(s string) { text <- s })
			defer guest.Leave()
			c := exec.Command("xtigervncviewer", "-X509CA", filepath.Join(folder, CertificateFile), "-SecurityTypes", security, "-RemoteResize=0", "127.0.0.1::"+portOf(at.String()))
			c.Env = env
			run(t, c)
			eventually(t, "a viewer", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.conns) == 1
			})
			eventually(t, "a key", func() bool {
				k := exec.Command("xdotool", "search", "--name", "TigerVNC", "windowfocus", "key", "a")
				k.Env = env
				_ = k.Run() // before there is a window, it finds none
				select {
				case e := <-keys.events:
					return e.Code == input.KeyA
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
			eventually(t, "a text", func() bool {
				k := exec.Command("xclip", "-i", "-selection", "clipboard")
				k.Env = env
				k.Stdin = strings.NewReader("from the viewer: €")
				if err := k.Run(); err != nil {
					t.Fatal(err)
				}
				select {
				case got := <-text:
					return got == "from the viewer: €"
				case <-time.After(100 * time.Millisecond):
					return false
				}
			})
			guest.Set("from the guest: €")
			eventually(t, "the guest's text", func() bool {
				k := exec.Command("xclip", "-o", "-selection", "clipboard", "-t", "UTF8_STRING")
				k.Env = env
				out, _ := k.Output()
				return string(out) == "from the guest: €"
			})
		})
	}
}

func portOf(at string) string { return at[strings.LastIndexByte(at, ':')+1:] }

// run starts a program that ends with the test.
func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.Stdout, c.Stderr = t.Output(), t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
