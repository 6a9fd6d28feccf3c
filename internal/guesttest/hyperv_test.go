package guesttest

import (
	"strings"
	"testing"
)

// TestHyperV shows Linux a Hyper-V, as Windows would see it: it finds the interface, keeps time by the reference TSC page, and has nothing to
// complain about.
func TestHyperV(t *testing.T) {
	f := newPCFile(t, "info,dmesg:yper-V")
	f.set("guestOS", "windows9-64")
	g := f.start(t, "--cpus", "2")
	g.finish()
	lines := ""
	for _, m := range g.said(`^dmesg (.*)$`) {
		lines += m[1] + "\n"
	}
	t.Log(lines)
	if !strings.Contains(lines, "Hypervisor detected: Microsoft Hyper-V") {
		t.Error("Linux does not see a Hyper-V")
	}
	if m := g.said(`^info clocksource (.*)$`); len(m) != 1 || m[0][1] != "hyperv_clocksource_tsc_page" {
		t.Errorf("the clock source is %v", m)
	}
}

// TestSuspendHyperV suspends a machine that shows Linux a Hyper-V, whose synthetic timers Linux then works with, and has it go on and power off.
func TestSuspendHyperV(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	f := newPCFile(t, "snap:8:15:/dev/sda,info")
	f.set("displayName", "enlightened")
	f.set("numvcpus", "2")
	f.set("vmm.display", "none")
	f.set("guestOS", "windows9-64")
	f.create(t, "d.vmdk", 4<<20)
	f.attach("sata0:0", "d.vmdk")
	g := f.start(t)
	g.expect(counted)
	g.expect(counted)
	vmm(t, "suspend", "enlightened")
	if err := g.wait(); err != nil {
		t.Fatalf("vmm run: %v\n%s", err, g.err.String())
	}
	last := lastCount(t, g)
	g = f.start(t)
	if n := number(t, g.expect(counted)); n < last || n > last+2 {
		t.Errorf("after %d the machine went on with %d", last, n)
	}
	g.finish()
	if m := g.said(`^info clocksource (.*)$`); len(m) != 1 || m[0][1] != "hyperv_clocksource_tsc_page" {
		t.Errorf("the clock source is %v", m)
	}
}
