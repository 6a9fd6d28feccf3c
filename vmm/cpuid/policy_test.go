package cpuid

import (
	"testing"

	"github.com/sharevm/vmm/vmm/kvm"
)

func find(t *testing.T, es []kvm.CPUIDEntry, fn, idx uint32) kvm.CPUIDEntry {
	t.Helper()
	var found *kvm.CPUIDEntry
	for i := range es {
		if es[i].Function == fn && es[i].Index == idx {
			if found != nil {
				t.Fatalf("leaf %#x.%d stands twice", fn, idx)
			}
			found = &es[i]
		}
	}
	if found == nil {
		t.Fatalf("leaf %#x.%d is missing", fn, idx)
	}
	return *found
}

// host is a machine that supports everything that the policy must take away.
func host(amd bool) []kvm.CPUIDEntry {
	vendor := uint32(0x756e6547)
	if amd {
		vendor = 0x68747541
	}
	return []kvm.CPUIDEntry{
		{Function: 0, EAX: 0x20, EBX: vendor},
		{Function: 1, EBX: 0x07_10_08_00, ECX: leaf1MONITOR | leaf1VMX | leaf1PDCM | 1, EDX: leaf1HTT | 1},
		{Function: 4, Index: 0, EAX: 1 | 1<<5 | 1<<14 | 7<<26},
		{Function: 4, Index: 3, EAX: 3 | 3<<5 | 15<<14 | 7<<26},
		{Function: 6, EAX: 0xff, ECX: 9},
		{Function: 7, Index: 0, EBX: leaf7SGX | leaf7PT | 1},
		{Function: 0xA, EAX: 5},
		{Function: 0xB, Index: 0, EBX: 2}, {Function: 0xB, Index: 1, EBX: 16}, {Function: 0x15, EAX: 2}, {Function: 0x1F, EAX: 1},
		{Function: 0x80000001, ECX: ext1SVM | ext1PerfCore | 1},
		{Function: 0x80000007, EDX: ext7InvariantTSC},
		{Function: 0x80000008, EAX: 0x3030},
		{Function: 0x8000001E, EAX: 9, EBX: 9, ECX: 9},
	}
}

func TestPolicy(t *testing.T) {
	p := Policy{Topology: Topology{CPUs: 6, CoresPerSocket: 3}, TSCDeadline: true}
	in := host(true)
	es := p.For(in, 4) // second socket, second core
	l1 := find(t, es, 1, 0)
	if id := l1.EBX >> 24; id != 5 {
		t.Errorf("APIC id %d, want 5", id)
	}
	if n := l1.EBX >> 16 & 0xff; n != 4 {
		t.Errorf("%d logical processors, want 4", n)
	}
	if l1.ECX&(leaf1MONITOR|leaf1VMX|leaf1PDCM) != 0 || l1.ECX&(leaf1Hypervisor|leaf1TSCDeadline) != leaf1Hypervisor|leaf1TSCDeadline || l1.ECX&1 == 0 {
		t.Errorf("leaf 1 ECX %#x", l1.ECX)
	}
	if l1.EDX != leaf1HTT|1 {
		t.Errorf("leaf 1 EDX %#x", l1.EDX)
	}
	if b := find(t, es, 0xB, 1); b.EAX != 2 || b.EBX != 3 || b.EDX != 5 {
		t.Errorf("leaf 0xB.1 %+v", b)
	}
	if l3 := find(t, es, 4, 3); l3.EAX>>14&0xfff != 3 {
		t.Errorf("third level cache shared by %d", l3.EAX>>14&0xfff+1)
	}
	if l1c := find(t, es, 4, 0); l1c.EAX>>14&0xfff != 0 {
		t.Error("first level cache is shared")
	}
	if e := find(t, es, 0x80000008, 0); e.ECX != 2<<12|2 {
		t.Errorf("leaf 0x80000008 ECX %#x", e.ECX)
	}
	if e := find(t, es, 0x80000001, 0); e.ECX != 1 {
		t.Errorf("leaf 0x80000001 ECX %#x", e.ECX)
	}
	if find(t, es, 0x80000007, 0).EDX != 0 || find(t, es, 0xA, 0).EAX != 0 || find(t, es, 7, 0).EBX != 1 || find(t, es, 6, 0).EAX != 4 {
		t.Error("a host's own feature leaked")
	}
	for _, e := range es {
		if e.Function == 0x15 || e.Function == 0x1F {
			t.Errorf("leaf %#x leaked", e.Function)
		}
	}
	if e := find(t, es, 0x8000001E, 0); e.EAX != 5 || e.EBX != 1 || e.ECX != 0 {
		t.Errorf("leaf 0x8000001E %+v", e)
	}
	if in[1].ECX&leaf1MONITOR == 0 {
		t.Error("the host's table was changed")
	}
	if p.Nested = true; find(t, p.For(in, 0), 1, 0).ECX&leaf1VMX == 0 || find(t, p.For(in, 0), 0x80000001, 0).ECX&ext1SVM == 0 {
		t.Error("nested virtualisation was asked for and is gone")
	}
	if one := (Policy{Topology: Topology{1, 1}}).For(in, 0); find(t, one, 1, 0).EDX&leaf1HTT != 0 {
		t.Error("a single vCPU says hyper-threading")
	}
	if intel := p.For(host(false), 0); find(t, intel, 0x80000008, 0).ECX != 0 {
		t.Error("AMD's core count on an Intel host")
	}
}

func TestTopologyValidate(t *testing.T) {
	for _, c := range []struct {
		cpus, cores int
		ok          bool
	}{{1, 1, true}, {255, 255, true}, {0, 1, false}, {2, 0, false}, {3, 2, false}, {4, 2, true}, {256, 1, false}, {255, 3, false}, {-1, -1, false}} {
		if err := (Topology{c.cpus, c.cores}).Validate(); (err == nil) != c.ok {
			t.Errorf("%d CPUs, %d cores: %v", c.cpus, c.cores, err)
		}
	}
}
