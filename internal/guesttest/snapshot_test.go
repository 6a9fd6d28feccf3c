package guesttest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vmm runs a command that has to succeed.
func vmm(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(vmmBin, args...).CombinedOutput(); err != nil {
		t.Fatalf("vmm %v: %v\n%s", args, err, out)
	}
}

// snapFile is a machine that counts while it works on its disk and fetches a page, which access lets it do, and at last writes to its disk once more.
func snapFile(t *testing.T, cpus, count int) (f *machineFile, access string) {
	t.Helper()
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	port, _ := page(t, 1<<20)
	tasks := fmt.Sprintf("listen,snap:64:%d:/dev/vda:http://10.0.2.2:%s/,disk:/dev/vda:1:9", count, port)
	if f = newFile(t, tasks); soaking() {
		f = newFastFileWithPCKernel(t, "draw,"+tasks)
		f.set("vmm.display", "virtio")
		f.set("svga.maxWidth", "1024")
		f.set("svga.maxHeight", "768")
	}
	f.set("vmm.agent", "TRUE")
	f.set("displayName", "counter")
	f.set("numvcpus", strconv.Itoa(cpus))
	f.addNIC()
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return f, "--host-access=" + port
}

const (
	counted  = `^snap: (\d+) at`
	restored = `^restored: the clock was (-?\d+) ms behind, and is (-?\d+) us`
)

func number(t *testing.T, m []string) int {
	t.Helper()
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lastCount is how far the guest has counted.
func lastCount(t *testing.T, g *guest) int {
	t.Helper()
	all := g.said(counted)
	return number(t, all[len(all)-1])
}

// soaking says that a machine is to be saved again and again; it draws meanwhile, too.
func soaking() bool { return os.Getenv(soakVariable) != "" }

const soakVariable = "VMM_SOAK_SNAPSHOTS"

// cycles is how often a machine is saved and goes on: VMM_SOAK_SNAPSHOTS (make soak-snapshots), or what finds most.
func cycles(t *testing.T) int {
	t.Helper()
	v := os.Getenv(soakVariable)
	if v == "" {
		return 3
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSuspend suspends a machine of two processors that writes to its disk, again and again, and has it go on where it was.
func TestSuspend(t *testing.T) {
	n := cycles(t)
	f, access := snapFile(t, 2, 10*n)
	g := f.start(t, access)
	for i := range n {
		g.expect(counted)
		g.expect(counted)
		if i > 0 {
			for len(g.said(restored)) == 0 {
				g.expect(counted)
			}
			clockWasSet(t, g)
		}
		vmm(t, "suspend", "counter")
		if err := g.wait(); err != nil {
			t.Fatalf("vmm run: %v\n%s", err, g.err.String())
		}
		last := lastCount(t, g)
		g = f.start(t, access)
		// A line that was only half printed is none.
		if n := number(t, g.expect(counted)); n < last+1 || n > last+2 {
			_ = g.cmd.Process.Kill()
			_ = g.wait()
			t.Fatalf("after %d the machine went on with %d; vmm run said:\n%s", last, n, g.err.String())
		}
	}
	g.finish()
	clockWasSet(t, g)
	if files, err := filepath.Glob(filepath.Join(f.dir, "*")); err != nil || len(files) != 3 { // .vmx, disk, suspended state, which is stale now
		t.Errorf("the folder holds %v, %v", files, err)
	}
	// Its disk has changed since, so that the machine starts anew.
	g = f.start(t, access)
	if n := number(t, g.expect(counted)); n != 1 {
		t.Errorf("the machine went on with %d from a state that is stale", n)
	}
	vmm(t, "stop", "--hard", "counter")
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "test.vmsuspend")); err == nil {
		t.Error("the stale state is still there")
	}
}

// clockWasSet sees that the guest was told of its restoring, and set its clock.
func clockWasSet(t *testing.T, g *guest) {
	t.Helper()
	const most = 50 * time.Millisecond
	all := g.said(restored)
	if len(all) != 1 {
		t.Errorf("the guest was told %d times that it was restored", len(all))
		return
	}
	t.Logf("the clock was %s ms behind, and is %s us", all[0][1], all[0][2])
	us, err := strconv.Atoi(all[0][2])
	if left := time.Duration(us) * time.Microsecond; err != nil || left.Abs() > most {
		t.Errorf("the clock is %v off, %v", left, err)
	}
}

// TestSnapshot starts machines from one snapshot, while the one that was saved runs on.
func TestSnapshot(t *testing.T) {
	f, access := snapFile(t, 2, 20)
	guests := []*guest{f.start(t, "--snapshot", access)}
	guests[0].expect(counted)
	guests[0].expect(counted)
	vmm(t, "snapshot", "save", "counter", "ready")
	last := lastCount(t, guests[0]) // it has gone on already
	for range 2 {
		g := f.start(t, "--from", "ready", access)
		// It may have been saved in the midst of the line after the last that was seen.
		if n := number(t, g.expect(counted)); n < 2 || n > last+2 {
			t.Errorf("saved when it had counted to 2 to %d, a clone goes on with %d", last, n)
		}
		guests = append(guests, g)
	}
	for i, g := range guests {
		g.finish()
		if i > 0 {
			clockWasSet(t, g)
		}
	}
	if b, err := os.ReadFile(filepath.Join(f.dir, "disk.img")); err != nil || !bytes.Equal(b, make([]byte, 16<<20)) {
		t.Errorf("the disk was written to: %v", err)
	}
	checkFlipped(t, filepath.Join(f.dir, "test.vmx"), "ready")
}

// checkFlipped has a snapshot checked, which is whole, and again with one byte of the guest's memory changed.
func checkFlipped(t *testing.T, vmx, name string) {
	t.Helper()
	vmm(t, "snapshot", "check", vmx, name)
	m, err := os.OpenFile(filepath.Join(strings.TrimSuffix(vmx, ".vmx")+".vmsnap", name, "memory"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const at = 50 << 20
	var b [1]byte
	if _, err := m.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := m.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(vmmBin, "snapshot", "check", vmx, name).CombinedOutput(); err == nil || !strings.Contains(string(out), "the first of them at 50 MiB") {
		t.Errorf("a byte of memory was changed: %v, %s", err, out)
	}
}
