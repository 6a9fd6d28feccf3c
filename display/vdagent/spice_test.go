package vdagent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/internal/desktop"
)

// TestSpiceVdagent talks with the agent that Debian's guests have: its daemon, whose port is a socket here, its part in the user's session, and a program there that copies
// and pastes.
func TestSpiceVdagent(t *testing.T) {
	for _, name := range []string{"spice-vdagentd", "spice-vdagent", "Xvfb", "xclip"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	port := filepath.Join(dir, "port")
	l, err := net.Listen("unix", port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	clip := &frontend.Clipboard{}
	got := make(chan string, 100)
	host := clip.Join(func(text string) { got <- text })
	a := New(Config{Clipboard: clip, In: true, Out: true})
	defer a.Close()
	a.Attach(func(open bool) { t.Errorf("the host's end is opened: %t", open) })

	display := desktop.XServer(t, "800x600")
	session := filepath.Join(dir, "session")
	start(t, display, "spice-vdagentd", "-x", "-f", "-X", "-u", "/dev/null", "-s", port, "-S", session)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(session); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the daemon does not begin")
		}
	}
	start(t, display, "spice-vdagent", "-x", "-s", port, "-S", session)
	// The daemon opens its port for the user's part.
	if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go copyTo(conn, a)
	go copyTo(a, conn)
	a.Opened(true)

	// The user's part needs a moment to look at the session's clipboard.
	end := time.Now().Add(20 * time.Second)
	for i := 0; ; i++ {
		text := fmt.Sprintf("from the guest: ü %d", i)
		c := command(t.Context(), display, "xclip", "-i", "-selection", "clipboard")
		c.Stdin = strings.NewReader(text)
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-got:
			if s != text {
				t.Fatalf("%q, want %q", s, text)
			}
		case <-time.After(200 * time.Millisecond):
			if time.Now().After(end) {
				t.Fatal("the guest's text does not come")
			}
			continue
		}
		break
	}
	for _, text := range []string{"from the host: ß", strings.Repeat("long ", 100000)} {
		host.Set(text)
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			out, _ := command(ctx, display, "xclip", "-o", "-selection", "clipboard", "-t", "UTF8_STRING").Output()
			cancel()
			if string(out) == text {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the guest pastes %d bytes of %d", len(out), len(text))
			}
		}
	}
}

// copyTo moves bytes until one side ends.
func copyTo(to interface{ Write([]byte) (int, error) }, from interface{ Read([]byte) (int, error) }) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func command(ctx context.Context, display, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "DISPLAY="+display)
	return c
}

// start starts a program that ends with the test.
func start(t *testing.T, display, name string, args ...string) {
	t.Helper()
	c := command(context.Background(), display, name, args...)
	c.Stdout, c.Stderr = t.Output(), t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}
