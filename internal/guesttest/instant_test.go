package guesttest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/control"
)

const symF1 = 0xbe

// instantFile is a disposable machine that paints a picture, says that it is ready, and prints what is typed.
func instantFile(t *testing.T) *machineFile {
	t.Helper()
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	lastingCache(t)
	f := newPCFile(t, "listen,disk:/dev/vda:1:9,paint:5,mark:4,events:vmm:2")
	for key, value := range map[string]string{
		"displayName": "web", "vmm.board": "fast", "vmm.display": "virtio", "vmm.input": "virtio", "vmm.agent": "TRUE", "vmm.overlay": "disposable", "vmm.instant": "TRUE",
	} {
		f.set(key, value)
	}
	f.addNIC()
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

// lastingCache makes a cache of the test's own, whose snapshots for instant starts seem to outlast the nested host.
func lastingCache(t *testing.T) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	store := filepath.Join(cache, "vmm", "instant")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("VMM_NESTED") == "" {
		return
	}
	if err := unix.Mount("tmpfs", store, "tmpfs", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(store, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// session is a session that a viewer looks at.
type session struct {
	*guest
	*viewer
	began time.Time
}

func (f *machineFile) session(t *testing.T, args ...string) *session {
	t.Helper()
	const at = "127.0.0.1:5943"
	s := &session{began: time.Now()}
	_, s.guest = sessionOf(t, at, append(args, filepath.Join(f.dir, "test.vmx"))...)
	s.viewer = dialViewer(t, at)
	return s
}

// shown waits for the guest's picture, and returns how long that took from the start of the session's process.
func (s *session) shown() time.Duration {
	s.guest.t.Helper()
	for !s.shows(5) {
		s.next()
	}
	return time.Since(s.began)
}

func (s *session) end() {
	s.guest.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.guest.t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		s.guest.t.Error(err)
	}
	s.conn.Close()
}

// sees waits until each of the patterns was printed, in whatever order, and since the session began that often.
func (s *session) sees(times int, patterns ...string) {
	s.guest.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		lacking := ""
		for _, p := range patterns {
			if len(s.said(p)) < times {
				lacking = p
			}
		}
		if lacking == "" {
			return
		}
		if time.Now().After(end) {
			s.guest.t.Fatalf("no %q, %d times", lacking, times)
		}
	}
}

// hashOf is a hash of a folder's files, with their names and times.
func hashOf(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintln(h, path, info.ModTime(), len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// windows opens two more windows of the machine and has each answer a key. They share memory, and no address.
func windows(t *testing.T, s *session) {
	t.Helper()
	for _, name := range []string{"web 2", "web 3"} {
		began := time.Now()
		vmm(t, "session", "open", "web")
		s.key(symF1)
		s.sees(1, "^"+name+": event 0 1 59 0$")
		t.Logf("%s: a key is answered %v after vmm session open", name, time.Since(began).Round(time.Millisecond))
	}
	out, err := exec.Command(vmmBin, "ps", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []control.Status
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 3 {
		t.Fatalf("%s: %v", out, err)
	}
	macs := map[string]bool{}
	for _, m := range all {
		macs[m.NICs[0].MAC] = true
		rss, pss := mapped(t, m.PID, filepath.Join(snapshotOf(t), "memory"))
		t.Logf("%s: of its memory's file %d KiB are resident, its share is %d KiB", m.Name, rss, pss)
		if rss == 0 || pss > rss*3/4 {
			t.Error("that is not shared")
		}
	}
	s.sees(3, "restored: eth0")
	for _, m := range s.said("restored: eth0 is (.*)$") {
		if !macs[m[1]] {
			t.Errorf("a guest has the address %s, and the machines have %v", m[1], macs)
		}
		delete(macs, m[1])
	}
	if len(macs) != 0 {
		t.Errorf("nobody has %v", macs)
	}
	// A window whose machine powers off goes, and the next one is in front.
	s.key(symF12)
	s.sees(1, "^web 3: tasks: all ok$")
}

// mapped is how much of a file a process has mapped and in memory, and its share of that, in KiB.
func mapped(t *testing.T, pid int, file string) (rss, pss int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	within := false
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if strings.Contains(words[0], "-") {
			within = words[len(words)-1] == file
		}
		if n := 0; within && len(words) == 3 {
			_, _ = fmt.Sscan(words[1], &n)
			switch words[0] {
			case "Rss:":
				rss += n
			case "Pss:":
				pss += n
			}
		}
	}
	return rss, pss
}

const madeLine = "starts instantly from now on: .*$"

// snapshotOf is the folder of the only snapshot.
func snapshotOf(t *testing.T) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "vmm", "instant", "test-*", "memory"))
	if err != nil || len(all) != 1 {
		t.Fatalf("the cache holds %v, %v", all, err)
	}
	return filepath.Dir(all[0])
}

// TestInstant starts a session cold, and again from the snapshot that was made in the background. Then the snapshot is damaged, in two ways.
func TestInstant(t *testing.T) {
	f := instantFile(t)
	f.write(t)
	before := hashOf(t, f.dir)

	s := f.session(t)
	t.Logf("cold: picture after %v", s.shown().Round(time.Millisecond))
	t.Logf("... %s", s.expect(madeLine)[0])
	s.end() // and with it the rehearsal
	if len(s.said("restored")) != 0 {
		t.Error("it did not start cold")
	}
	if out, err := exec.Command(vmmBin, "ps", "--json").Output(); err != nil || strings.TrimSpace(string(out)) != "[]" {
		t.Errorf("after the session there run %s, %v", out, err)
	}

	s = f.session(t)
	s.key(symF1) // at once, whatever there is to see: the guest that comes gets it
	t.Logf("instant: picture after %v", s.shown().Round(time.Millisecond))
	s.sees(1, "^web: restored: the clock was", "^web: event 0 1 59 0$")
	t.Logf("... a key that was pressed at once is answered after %v", time.Since(s.began).Round(time.Millisecond))
	windows(t, s)
	// The machine itself, whose work is done then, powers off; being disposable, it starts again.
	for end := time.Now().Add(limit); len(s.said("^web: tasks: all ok$")) == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		s.key(symF12) // until the window in front is gone
	}
	s.sees(2, "^web: restored: the clock was")
	s.end()
	if all := s.said("starts anew|" + madeLine); len(all) != 0 {
		t.Errorf("%q", all)
	}
	if hashOf(t, f.dir) != before {
		t.Error("the machine's folder has changed")
	}
}

// smallInstantFile is the smallest machine that starts from snapshots, which lie in a cache of its own; path is its .vmx.
func smallInstantFile(t *testing.T) (f *machineFile, path string) {
	t.Helper()
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	lastingCache(t)
	f = newFile(t, "listen,mark:4,button")
	for key, value := range map[string]string{"displayName": "web", "vmm.agent": "TRUE", "vmm.instant": "TRUE"} {
		f.set(key, value)
	}
	return f, f.write(t)
}

// TestInstantDamaged spoils snapshots in several ways: each time the machine starts cold, says so, and another one is made.
func TestInstantDamaged(t *testing.T) {
	f, path := smallInstantFile(t)
	start := func() *guest { return f.startAs(t, exec.Command(vmmBin, "run", "--allow-outside", path)) }
	stop := func(g *guest) string {
		t.Helper()
		vmm(t, "stop", "--hard", "web")
		if err := g.wait(); err != nil {
			t.Error(err)
		}
		return g.err.String()
	}
	exists := func(what, pattern string, size int64) {
		t.Helper()
		for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
			all, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "vmm", "instant", pattern))
			if err != nil || time.Now().After(end) {
				t.Fatalf("%s: %v", what, err)
			}
			if len(all) > 0 {
				if info, err := os.Stat(all[0]); err == nil && info.Size() >= size {
					return
				}
			}
		}
	}
	vmm(t, "instant", "make", "--run-option=--allow-outside", path)
	dir := snapshotOf(t)

	// The memory is cut: that is found when the process is confined already.
	if err := os.Truncate(filepath.Join(dir, "memory"), 128<<20); err != nil {
		t.Fatal(err)
	}
	g := start()
	g.expect("waiting for the button")
	exists("another snapshot", "test-*/memory", 256<<20)
	dir = snapshotOf(t)
	if said := stop(g); len(g.said("restored")) != 0 || !strings.Contains(said, "web starts anew: its snapshot for instant starts cannot be used: memory:") {
		t.Errorf("it says %q", said)
	}

	// Whoever makes the next one is killed: this one stays.
	c := exec.Command(vmmBin, "instant", "make", "--again", "--run-option=--allow-outside", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exists("a draft", ".*/memory", 1)
	_ = c.Process.Kill()
	_ = c.Wait()
	g = start()
	g.expect("^restored: the clock was")
	if said := stop(g); strings.Contains(said, "anew") {
		t.Errorf("it says %q", said)
	}

	// A bit of the devices' state is another: that is found before anything begins.
	state := filepath.Join(dir, "state")
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(state, b, 0o600); err != nil {
		t.Fatal(err)
	}
	g = start()
	g.expect("waiting for the button")
	if said := stop(g); !strings.Contains(said, "damaged") {
		t.Errorf("it says %q", said)
	}
}
