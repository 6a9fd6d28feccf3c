package host

import (
	"fmt"
	"os"
	"time"

	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// Kind says which guests a KVM can run.
type Kind int

// The kinds.
const (
	Ordinary     Kind = iota // any guest: KVM on hardware virtualisation
	Paravirtual              // only guests that cooperate: KVM as a cloud provider's own (kvm_pvm)
	Unaccessible             // there is a KVM, and this user may not use it
	Absent                   // none
)

// String names the kind in a person's words.
func (k Kind) String() string {
	switch k {
	case Ordinary:
		return "hardware virtualisation"
	case Paravirtual:
		return "paravirtual only"
	case Unaccessible:
		return "no permission"
	}
	return "absent"
}

// Classify tells what sys can run. Where a hardware module is loaded the answer costs a look at the file system; otherwise a probe runs
// a few instructions that only hardware virtualisation runs, in some milliseconds.
func Classify(sys *kvm.System) (Kind, error) {
	for _, m := range []string{"kvm_intel", "kvm_amd"} {
		if _, err := os.Stat("/sys/module/" + m); err == nil {
			return Ordinary, nil
		}
	}
	ok, err := probe(sys)
	if err != nil {
		return Absent, err
	}
	if ok {
		return Ordinary, nil
	}
	return Paravirtual, nil
}

// probeCode is 32-bit code that uses SSE in ring 0, as any kernel may: a KVM that interprets ring 0 in software gives up on it.
var probeCode = []byte{
	0x0f, 0x20, 0xe0, // mov eax, cr4
	0x0d, 0x00, 0x02, 0x00, 0x00, // or eax, OSFXSR
	0x0f, 0x22, 0xe0, // mov cr4, eax
	0x0f, 0x58, 0xc0, // addps xmm0, xmm0
	0xe6, 0x80, // out 0x80, al
	0xf4, // hlt
}

const (
	probeBase    = 0x1000
	probePort    = 0x80
	probeTimeout = 2 * time.Second
)

type signal chan struct{}

func (s signal) Read(uint64, []byte) {}
func (s signal) Write(uint64, []byte) {
	select {
	case s <- struct{}{}:
	default:
	}
}

// probe runs probeCode and says whether it came through.
func probe(sys *kvm.System) (bool, error) {
	mem, err := memory.New(memory.Config{Size: 1 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: memory.Anonymous})
	if err != nil {
		return false, err
	}
	defer mem.Close()
	if err := mem.Write(probeBase, probeCode); err != nil {
		return false, err
	}
	stopped := make(chan vcpu.Stop, 1)
	vm, err := vmm.New(vmm.Config{
		System:        sys,
		Memory:        mem,
		CPU:           cpuid.Policy{Topology: cpuid.Topology{CPUs: 1, CoresPerSocket: 1}},
		RealModePages: 0xfeffc000,
		OnStop:        func(s vcpu.Stop) { stopped <- s },
	})
	if err != nil {
		return false, fmt.Errorf("probe KVM: %w", err)
	}
	defer vm.Close()
	arrived := make(signal, 1)
	if err := vm.Ports.Map(probePort, 1, arrived); err != nil {
		return false, err
	}
	cpu := vm.VCPUs()[0].KVM()
	s, err := cpu.Sregs()
	if err != nil {
		return false, err
	}
	flat := kvm.Segment{Limit: 0xffffffff, Selector: 0x10, Type: 3, Present: 1, DB: 1, S: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS, s.SS, s.CS = flat, flat, flat, flat, flat, flat
	s.CS.Selector, s.CS.Type = 8, 11
	s.CR0 |= 1
	if err := cpu.SetSregs(s); err != nil {
		return false, err
	}
	if err := cpu.SetRegs(kvm.Regs{RIP: probeBase, RFLAGS: 2}); err != nil {
		return false, err
	}
	vm.Start()
	select {
	case <-arrived:
		return true, nil
	case <-stopped:
		return false, nil
	case <-time.After(probeTimeout):
		return false, nil
	}
}
