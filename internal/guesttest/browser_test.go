package guesttest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// browserDir is the folder of the browser machine (make test-browser).
var browserDir = os.Getenv("VMM_BROWSER")

// browserID is what the machine is called.
const browserID = "chromeos"

// The page has four squares, which turn green when their part works: the keyboard, the pointer, a download, and what the machine may not reach.
const (
	squareTyped   = iota
	squareClicked // by the test, in its middle
	squareSaved
	squareRefused
	squares
)

const (
	green = 0x00c000
	red   = 0xc00000
	back  = 0x103050
)

// middle is where a square is clicked, and corner where it is looked at, away from the pointer.
func middle(i int) image.Point { return image.Pt(150+250*i, 300) }
func corner(i int) image.Point { return middle(i).Sub(image.Pt(80, 80)) }

const browserPage = `<!doctype html><meta charset=utf-8><title>page</title><link rel=icon href="data:,">
<style>
 body { margin: 0; background: #103050 }
 input { position: absolute; left: 50px; top: 50px; width: 900px; height: 60px; font-size: 40px }
 a { position: absolute; top: 200px; width: 200px; height: 200px; background: #c00000 }
 a.ok { background: #00c000 }
</style>
<input id=i autofocus><a id=s0 style="left: 50px"></a><a id=s1 style="left: 300px"></a><a id=s2 style="left: 550px" href="/file"></a><a id=s3 style="left: 800px"></a>
<script>
 const ok = e => e.className = "ok"
 i.oninput = () => i.value == %q && ok(s0)
 s1.onclick = () => ok(s1)
 s2.onclick = () => ok(s2)
 fetch(%q, {mode: "no-cors"}).catch(() => ok(s3))
 // Seldom enough for the processors to rest in between.
 setInterval(() => fetch("/tick?now=" + Date.now() + "&random=" + crypto.getRandomValues(new Uint32Array(4)).join()), 3000)
</script>`

const browserText = "Hello, vmm"

// site is what the browser machine is shown.
type site struct {
	port, other string // of the host's loopback

	mu     sync.Mutex
	saved  bool            // the file was fetched
	others int             // requests that should not have been possible
	random map[string]bool // what the page drew
	again  []string        // what it drew more than once
	behind time.Duration   // the page's clock, at its latest request
	ticks  int
}

func serveSite(t *testing.T) *site {
	t.Helper()
	s := &site{random: map[string]bool{}}
	listen := func(h http.HandlerFunc) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		_, port, err := net.SplitHostPort(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	s.other = listen(func(http.ResponseWriter, *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.others++
	})
	s.port = listen(s.answer)
	return s
}

func (s *site) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, browserPage, browserText, "http://10.0.2.2:"+s.other+"/")
	case "/file":
		w.Header().Set("Content-Disposition", `attachment; filename="file.bin"`)
		_, _ = w.Write(make([]byte, 1<<20))
		s.saved = true
	case "/tick":
		s.ticks++
		if ms, err := strconv.ParseInt(r.FormValue("now"), 10, 64); err == nil {
			s.behind = time.Since(time.UnixMilli(ms))
		}
		if n := r.FormValue("random"); s.random[n] {
			s.again = append(s.again, n)
		} else {
			s.random[n] = true
		}
	}
}

// clock waits for a request that the page sends from now on, and returns how far its clock is behind, as far as the request's own way lets one tell.
func (s *site) clock(t *testing.T) time.Duration {
	t.Helper()
	ticks := func() (int, time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ticks, s.behind
	}
	began, _ := ticks()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if n, behind := ticks(); n > began+1 {
			return behind
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page sent nothing within %v", limit)
		}
	}
}

// drawnAgain are the numbers that pages drew more than once.
func (s *site) drawnAgain() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.again)
}

// contents is what lies in a folder: names, modes and contents.
func contents(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		list = append(list, fmt.Sprintf("%s %v %x", path, info.Mode(), sha256.Sum256(b)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// startBrowser runs the browser machine.
func startBrowser(t *testing.T, args ...string) *guest {
	t.Helper()
	f := &machineFile{}
	return f.startAs(t, exec.Command(vmmBin, append(append([]string{"run", "--timeline"}, args...), filepath.Join(browserDir, "chromeos.vmx"))...))
}

// shows waits until the machine's screen passes a check.
func shows(t *testing.T, what string, check func(image.Image) bool) {
	t.Helper()
	began := time.Now()
	for {
		out, err := exec.Command(vmmBin, "screenshot", browserID, "-o", "-").CombinedOutput()
		if img, bad := png.Decode(bytes.NewReader(out)); err == nil && bad == nil && check(img) {
			keepPicture(t, what, out)
			t.Logf("%s: after %.1f s", what, time.Since(began).Seconds())
			return
		}
		// Until the machine is there and its guest has set a mode there is no picture.
		if time.Since(began) > limit {
			keepPicture(t, what, out)
			t.Fatalf("%s: not on the screen within %v: %v", what, limit, err)
		}
	}
}

// painted says whether the page is there, with all of its squares.
func painted(img image.Image) bool {
	for i := range squares {
		if c := pixel(img, corner(i).X, corner(i).Y); c != green && c != red {
			return false
		}
	}
	return pixel(img, 1200, 600) == back
}

func turned(i int) func(image.Image) bool {
	return func(img image.Image) bool { return painted(img) && pixel(img, corner(i).X, corner(i).Y) == green }
}

// TestBrowser uses the browser machine as a person does: it looks at a page, types, clicks, saves a file, and is kept from another site. Machines from a snapshot show the page as it was,
// go on with the right time and randomness of their own, and take keys. In the end no byte of the machine's folder has changed.
func TestBrowser(t *testing.T) {
	needGuests(t)
	if browserDir == "" {
		t.Skip("the browser machine is used by make test-browser")
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	before := contents(t, browserDir)
	s := serveSite(t)
	reach := []string{"--host-access", s.port}
	g := startBrowser(t, append(reach, "--cold", "--append", "vmm.kiosk.url="+url.QueryEscape("http://10.0.2.2:"+s.port+"/"))...)
	name := g.expect("^browser: .* this is (browser-.*)$")[1]
	shows(t, "page", painted)
	shows(t, "refused", turned(squareRefused))
	vmm(t, "snapshot", "save", browserID, "test")

	use := func() {
		began := time.Now()
		vmm(t, "type", browserID, browserText)
		shows(t, "typed", turned(squareTyped))
		t.Logf("typed after %v", time.Since(began))
		for _, i := range []int{squareClicked, squareSaved} {
			at := middle(i)
			vmm(t, "mouse", browserID, fmt.Sprintf("%d,%d", at.X, at.Y), "--size", "1280x800", "--click", "left")
			shows(t, "clicked", turned(i))
		}
	}
	use()
	off := func(g *guest) {
		vmm(t, "stop", browserID)
		if err := g.wait(); err != nil {
			t.Errorf("vmm run: %v\n%s", err, g.err.String())
		}
		t.Log(g.err.String())
	}
	off(g)

	names := []string{name}
	for range 2 {
		began := time.Now()
		g := startBrowser(t, append(reach, "--from", "test")...)
		shows(t, "restored", func(img image.Image) bool { return painted(img) && !turned(squareTyped)(img) })
		t.Logf("restored: the page is seen %v after the process's start", time.Since(began))
		vmm(t, "type", browserID, browserText)
		shows(t, "typed", turned(squareTyped))
		t.Logf("restored: keys are seen %v after the process's start", time.Since(began))
		names = append(names, g.expect("^browser: .* this is (browser-.*)$")[1])
		if d := s.clock(t); d.Abs() > time.Second {
			t.Errorf("the page's clock is %v behind", d)
		} else {
			t.Logf("the page's clock is less than %v behind", d)
		}
		// Before the guest knew that it was restored its page drew what its twins draw.
		early := s.drawnAgain()
		s.clock(t)
		if all := s.drawnAgain(); len(all) > len(early) {
			t.Errorf("random numbers that another machine's page drew too: %v", all[len(early):])
		}
		off(g)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("machines from one snapshot have the names %v", names)
	}
	vmm(t, "snapshot", "delete", filepath.Join(browserDir, "chromeos.vmx"), "test")
	if after := contents(t, browserDir); !slices.Equal(before, after) {
		t.Errorf("the machine's folder was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.saved || s.others > 0 {
		t.Errorf("file fetched: %v; requests of what was not allowed: %d", s.saved, s.others)
	}
}
