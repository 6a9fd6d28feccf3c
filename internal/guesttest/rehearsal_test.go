package guesttest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/machine/snapshot"
)

// TestRehearsal makes a snapshot, and starts from it while it is found out, beside, which memory that needs first. The next start knows that.
func TestRehearsal(t *testing.T) {
	f, path := smallInstantFile(t)
	start := func() *guest {
		g := f.startAs(t, exec.Command(vmmBin, "run", "--allow-outside", "--timeline", path))
		g.expect("^restored: the clock was")
		return g
	}
	stop := func(g *guest) (timeline string) {
		t.Helper()
		vmm(t, "stop", "--hard", "web")
		if err := g.wait(); err != nil {
			t.Error(err)
		}
		return g.err.String()
	}
	const mapped = "working set mapped"

	var said bytes.Buffer
	c := exec.Command(vmmBin, "instant", "make", "--run-option=--allow-outside", path)
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() { made <- c.Wait() }()
	set := filepath.Join(os.Getenv("XDG_CACHE_HOME"), "vmm", "instant", "test-*", snapshot.WorkingFile)
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if all, _ := filepath.Glob(set); len(all) > 0 {
			break
		}
		select {
		case err := <-made:
			t.Fatalf("nothing is rehearsed: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("no rehearsal begins")
		}
	}
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil { // so that the rehearsal does not end before this host gets to the rest
		t.Fatal(err)
	}
	dir := snapshotOf(t)
	g := start()
	if known, file, err := snapshot.OpenWorking(dir); known != nil || file != nil || err == nil {
		t.Errorf("in the midst of the rehearsal the set is %v, and may be written: %t, %v", known, file != nil, err)
	}
	if timeline := stop(g); strings.Contains(timeline, mapped) || strings.Contains(timeline, "anew") {
		t.Errorf("in the midst of the rehearsal a machine says\n%s", timeline)
	}
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil || !strings.Contains(said.String(), "was found out within") {
		t.Fatalf("%v\n%s", err, said.String())
	}
	known, _, err := snapshot.OpenWorking(dir)
	pages := 0
	for _, e := range known {
		pages += int(e.Pages)
	}
	if err != nil || pages == 0 {
		t.Fatalf("%d pages are known, %v", pages, err)
	}
	t.Logf("%d pages are needed first, in %d runs", pages, len(known))
	g = start()
	if timeline := stop(g); !strings.Contains(timeline, mapped) {
		t.Errorf("after the rehearsal a machine says\n%s", timeline)
	}
}
