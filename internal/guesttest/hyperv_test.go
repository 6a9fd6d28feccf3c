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
