package guesttest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFrozen takes a snapshot of a machine that writes to a VMDK for good, has it and a clone go on, and takes it back.
func TestFrozen(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	f := newFile(t, "listen,snap:16:30:/dev/vda,disk:/dev/vda:1:9")
	f.set("vmm.agent", "TRUE")
	f.set("displayName", "frozen")
	f.set("numvcpus", "2")
	f.create(t, "disk.vmdk", 16<<20)
	f.addDisk(0, "disk.vmdk")
	at := func(name string) string { return filepath.Join(f.dir, name) }
	g := f.start(t)
	g.expect(counted)
	g.expect(counted)
	vmm(t, "snapshot", "save", "frozen", "first")
	last := lastCount(t, g) // it has gone on already
	if base, err := exec.Command(vmmBin, "disk", "info", at("disk.vmdk")).CombinedOutput(); err != nil {
		t.Errorf("the frozen disk cannot be read: %v\n%s", err, base)
	}
	// What the machine does now must not be seen by a clone, nor be there when it is taken back. The .vmx is that of the snapshot's child by now.
	clone := f.restart(t, "--from", "first")
	first := number(t, clone.expect(counted))
	if first < 2 || first > last+1 {
		t.Errorf("saved when it had counted to 2 to %d, a clone goes on with %d", last, first)
	}
	g.finish()
	clone.finish()
	tree, err := exec.Command(vmmBin, "disk", "snapshot-tree", at("test.vmx")).CombinedOutput()
	if text := string(tree); err != nil || !strings.Contains(text, `snapshot "first"`) || !strings.Contains(text, "disk-000001.vmdk") {
		t.Errorf("%v\n%s", err, tree)
	}
	t.Logf("%s", tree)
	vmm(t, "snapshot", "restore", at("test.vmx"), "first")
	g = f.restart(t)
	if n := number(t, g.expect(counted)); n != first {
		t.Errorf("a clone went on with %d, the machine goes back to %d", first, n)
	}
	g.finish()
	clockWasSet(t, g)
	vmm(t, "snapshot", "delete", at("test.vmx"), "first")
	images, err := filepath.Glob(at("*.vmdk"))
	if err != nil || len(images) != 1 {
		t.Errorf("%v are left", images)
	}
	vmm(t, "disk", "check", at("disk.vmdk"))
}
