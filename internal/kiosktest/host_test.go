package kiosktest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/images/nested/agent"
	"github.com/sharevm/vmm/images/testguest/kit"
)

func TestMain(m *testing.M) {
	agent.RunIfInit() // this program is the host's first process
	os.Exit(m.Run())
}

// limit is how long anything may take on a host that is emulated on a busy machine.
const limit = 4 * time.Minute

// lookEvery is how often the screen is looked at: each look takes the host's processor time.
const lookEvery = time.Second / 4

// host is a running host, with a shell.
type host struct {
	t       *testing.T
	dir     string
	in      io.Writer
	lines   chan string
	monitor *json.Encoder
	answers *json.Decoder

	mu  sync.Mutex
	log []string // all that was said
}

// start boots a host with a graphics card of QEMU's.
func start(t *testing.T, card string) *host {
	t.Helper()
	if os.Getenv("VMM_TEST_KIOSK") == "" {
		t.Skip("make test-kiosk")
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: t.TempDir(), in: in, lines: make(chan string, 1<<14)}
	if err := os.Chmod(filepath.Dir(h.dir), 0o755); err != nil { // for users who are not root
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	monitor := filepath.Join(h.dir, "monitor")
	env := append(os.Environ(), "XDG_RUNTIME_DIR=/run")
	go func() {
		_, err := nested.Run(ctx, nested.Config{
			Args: []string{"sh"}, Env: env, Stdin: stdin, Stdout: stdout, Stderr: stdout, Shares: []string{h.dir}, MemoryMiB: 1536, CPUs: 2,
			Display: card, Monitor: monitor, Console: os.Stderr,
		})
		ended <- err
		stdout.Close()
	}()
	t.Cleanup(func() {
		stop()
		in.Close()
		if err := <-ended; err != nil {
			t.Logf("the host: %v", err)
		}
		if t.Failed() {
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Logf("the host said:\n%s", strings.Join(h.log, "\n"))
		}
	})
	go h.read(out)
	h.do("echo up")
	h.expect("^up$")
	conn, err := net.Dial("unix", monitor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h.monitor, h.answers = json.NewEncoder(conn), json.NewDecoder(conn)
	h.ask("qmp_capabilities", nil)
	return h
}

func (h *host) read(out io.Reader) {
	defer close(h.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		h.mu.Lock()
		h.log = append(h.log, s.Text())
		h.mu.Unlock()
		select {
		case h.lines <- s.Text():
		default:
		}
	}
}

// do has the shell do something.
func (h *host) do(line string) {
	h.t.Helper()
	if _, err := io.WriteString(h.in, line+"\n"); err != nil {
		h.t.Fatal(err)
	}
}

// expect waits for a line, and returns what the pattern's groups are.
func (h *host) expect(pattern string) []string {
	h.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.After(limit); ; {
		select {
		case line, ok := <-h.lines:
			if !ok {
				h.t.Fatalf("the host ended; waited for %q", pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-end:
			h.t.Fatalf("waited for %q", pattern)
		}
	}
}

// ask asks QEMU's monitor for something, and waits until it is done.
func (h *host) ask(command string, args any) {
	h.t.Helper()
	m := map[string]any{"execute": command}
	if args != nil {
		m["arguments"] = args
	}
	if err := h.monitor.Encode(m); err != nil {
		h.t.Fatal(err)
	}
	for {
		var a struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := h.answers.Decode(&a); err != nil {
			h.t.Fatal(err)
		}
		if a.Error != nil {
			h.t.Fatalf("%s: %s", command, a.Error.Desc)
		}
		if a.Return != nil { // not an event, nor the greeting
			return
		}
	}
}

// key presses keys together, and lets go of them.
func (h *host) key(names ...string) {
	h.t.Helper()
	h.press(true, names...)
	h.press(false, names...)
}

// press presses keys or lets go of them.
func (h *host) press(down bool, names ...string) {
	h.t.Helper()
	var events []any
	for _, n := range names {
		events = append(events, map[string]any{"type": "key", "data": map[string]any{"down": down, "key": map[string]any{"type": "qcode", "data": n}}})
	}
	h.ask("input-send-event", map[string]any{"events": events})
}

// place puts the tablet's pointer to a place, 0 to 0x7fff.
func (h *host) place(x, y int) {
	h.t.Helper()
	axis := func(name string, v int) any {
		return map[string]any{"type": "abs", "data": map[string]any{"axis": name, "value": v}}
	}
	h.ask("input-send-event", map[string]any{"events": []any{axis("x", x), axis("y", y)}})
}

// screen is what the host's screen shows. It is taken as a PPM: QEMU's processors stand still while its monitor makes a picture, which takes longest of a PNG.
func (h *host) screen() image.Image {
	h.t.Helper()
	path := filepath.Join(h.dir, "screen.ppm")
	h.ask("screendump", map[string]any{"filename": path})
	f, err := os.Open(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var width, height, most int
	if _, err := fmt.Fscanf(r, "P6\n%d %d\n%d\n", &width, &height, &most); err != nil || most != 255 {
		h.t.Fatalf("QEMU's picture: %v, %d", err, most)
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for at := 0; at < len(img.Pix); at += 4 {
		if _, err := io.ReadFull(r, img.Pix[at:at+3]); err != nil {
			h.t.Fatal(err)
		}
		img.Pix[at+3] = 255
	}
	return img
}

// keep saves what the screen shows now, for a person to look at.
func (h *host) keep(name string) {
	h.t.Helper()
	if dir := os.Getenv("VMM_KIOSK_PICTURES"); dir != "" {
		h.ask("screendump", map[string]any{"filename": filepath.Join(dir, strings.ReplaceAll(h.t.Name(), "/", "-")+"-"+name+".png"), "format": "png"})
	}
}

// until waits until the screen shows something.
func (h *host) until(what string, ok func(image.Image) bool) time.Duration {
	h.t.Helper()
	for began := time.Now(); ; {
		if ok(h.screen()) {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			h.keep("failed")
			h.t.Fatalf("waited for %s on the screen", what)
		}
		time.Sleep(lookEvery)
	}
}

// shows says whether a picture is a guest's pattern (its task paint).
func shows(seed uint32) func(image.Image) bool {
	return func(img image.Image) bool {
		size := img.Bounds().Size()
		for _, at := range []image.Point{{5, 300}, {500, 400}, {639, 479}, size.Sub(image.Pt(1, 1))} {
			r, g, b, _ := img.At(at.X, at.Y).RGBA()
			if r>>8<<16|g>>8<<8|b>>8 != (seed*0x9e3779b1>>8^uint32(at.X)*0x10101+uint32(at.Y)*0x30507)&0xffffff {
				return false
			}
		}
		return true
	}
}

// machineFile writes the .vmx of a machine that does tasks.
func (h *host) machineFile(name, tasks string) string {
	h.t.Helper()
	kitDir := os.Getenv("VMM_GUEST_TESTS")
	path := filepath.Join(h.dir, name+".vmx")
	text := fmt.Sprintf(`.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
guestOS = "debian12-64"
displayName = %q
memsize = "256"
vmm.board = "fast"
vmm.console = "serial0"
vmm.display = "virtio"
vmm.input = "virtio"
vmm.overlay = "disposable"
vmm.kernel = %q
vmm.initrd = %q
vmm.cmdline = "console=ttyS0 quiet panic=1 vmm.tasks=%s"
`, name, filepath.Join(kitDir, kit.PCVmlinux), filepath.Join(kitDir, kit.PCInitrd), tasks)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}
