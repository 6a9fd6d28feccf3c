package cpuid

import (
	"testing"

	"github.com/sharevm/vmm/vmm/kvm"
)

// hyperVHost is what a KVM of today supports, and more.
var hyperVHost = []kvm.CPUIDEntry{
	{Function: hvVendor, EAX: 0x40000082, EBX: 0x756e694c},
	{Function: hvFeatures, EAX: 0xffffffff, EBX: 0x3f, EDX: 0xffffffff},
	{Function: hvRecommended, EAX: 0xffffffff, EBX: 0xffffffff},
}

func TestHyperV(t *testing.T) {
	in := append(host(true), kvm.CPUIDEntry{Function: 0x40000000, EBX: 0x4b4d564b}, kvm.CPUIDEntry{Function: 0x40000001, EAX: 0xffff})
	p := Policy{Topology: Topology{CPUs: 2, CoresPerSocket: 2}, HyperV: hyperVHost}
	es := p.For(in, 0)
	if e := find(t, es, hvVendor, 0); e.EAX != hvHardware || e.EBX != 0x7263694d || e.ECX != 0x666f736f || e.EDX != 0x76482074 {
		t.Errorf("vendor %+v", e)
	}
	if e := find(t, es, hvInterface, 0); e.EAX != 0x31237648 {
		t.Errorf("interface %#x", e.EAX)
	}
	if e := find(t, es, hvFeatures, 0); e.EAX != 0xa7f || e.EBX != 0 || e.EDX != 1<<8|1<<19 {
		t.Errorf("features %+v", e)
	}
	if e := find(t, es, hvRecommended, 0); e.EAX != 1<<3|1<<5|1<<9 || e.EBX != 0x1fff {
		t.Errorf("recommendations %+v", e)
	}
	p.HyperV = []kvm.CPUIDEntry{{Function: hvFeatures, EAX: hvMandatory}}
	es = p.For(in, 0)
	if e := find(t, es, hvFeatures, 0); e.EAX != hvMandatory || e.EDX != 0 {
		t.Errorf("features of a poor host %+v", e)
	}
	if e := find(t, es, hvRecommended, 0); e.EAX != hvRelaxed {
		t.Errorf("recommendations of a poor host %+v", e)
	}
	p.HyperV = nil
	if e := find(t, p.For(in, 0), 0x40000000, 0); e.EBX != 0x4b4d564b {
		t.Error("without Hyper-V, KVM does not tell of itself")
	}
	p.Hide = true
	es = p.For(in, 0)
	if find(t, es, 1, 0).ECX&leaf1Hypervisor != 0 {
		t.Error("a hidden hypervisor shows in leaf 1")
	}
	for _, e := range es {
		if e.Function >= hvVendor && e.Function < hypervisorLeaves {
			t.Errorf("leaf %#x of a hidden hypervisor", e.Function)
		}
	}
}

func TestHyperVNeeds(t *testing.T) {
	for _, test := range []struct {
		eax  uint32
		want string
	}{{hvMandatory, ""}, {0xffffffff, ""}, {hvIndex, "hypercalls"}, {hvHypercalls, "the virtual processor's index"}} {
		if got := HyperVNeeds([]kvm.CPUIDEntry{{Function: hvFeatures, EAX: test.eax}}); got != test.want {
			t.Errorf("%#x: %q is missing, want %q", test.eax, got, test.want)
		}
	}
	if HyperVNeeds(nil) == "" {
		t.Error("nothing is missing where there is nothing")
	}
}
