package vcpu

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/vmm/kvm"
)

// handle deals with the exit that KVM reports; a Stop ends the run.
func (v *VCPU) handle() *Stop {
	k := v.c.KVM
	switch k.ExitReason() {
	case kvm.ExitIO:
		x, data := k.IO()
		size := int(x.Size)
		for ; len(data) >= size && size > 0; data = data[size:] {
			if x.Direction == 0 {
				v.c.Ports.Read(uint64(x.Port), data[:size])
			} else {
				v.c.Ports.Write(uint64(x.Port), data[:size])
			}
		}
	case kvm.ExitMMIO:
		x := k.MMIO()
		data := x.Data[:min(x.Len, 8)]
		if x.IsWrite != 0 {
			v.c.MMIO.Write(x.Addr, data)
		} else {
			v.c.MMIO.Read(x.Addr, data)
		}
	case kvm.ExitRDMSR:
		x := k.MSR()
		val, ok := v.c.MSRs.ReadMSR(v.c.ID, x.Index)
		x.Data, x.Error = val, fault(ok)
	case kvm.ExitWRMSR:
		x := k.MSR()
		x.Error = fault(v.c.MSRs.WriteMSR(v.c.ID, x.Index, x.Data))
	case kvm.ExitIntr, kvm.ExitIRQWindow:
		// Nothing to do: the kernel wants a new entry.
	case kvm.ExitShutdown:
		return &Stop{VCPU: v.c.ID}
	case kvm.ExitFailEntry:
		x := k.FailEntry()
		return v.failed(fmt.Errorf("the CPU refused to enter the guest (hardware reason %#x)", x.Reason))
	case kvm.ExitInternalError:
		return v.failed(v.internalError())
	case kvm.ExitHyperV:
		hypercall(k.HyperV())
	case kvm.ExitSystemEvent:
		return v.failed(fmt.Errorf("KVM reports system event %d", k.SystemEvent().Type))
	default:
		return v.failed(fmt.Errorf("KVM reports an exit that the monitor does not know (%d)", k.ExitReason()))
	}
	return nil
}

// hypercall refuses Hyper-V's messages and events, which would go to a VMBus. Changes of the synthetic interrupt controller, the other exits of this
// kind, are KVM's own business.
func hypercall(x *kvm.HyperVExit) {
	const isHypercall, unknownCode = 2, 2
	if x.Type == isHypercall {
		x.Result = unknownCode
	}
}

func fault(ok bool) uint8 {
	if ok {
		return 0
	}
	return 1
}

// ErrEmulation is wrapped when KVM could not emulate an instruction of the guest.
var ErrEmulation = errors.New("KVM cannot emulate the guest's instruction")

// internalError explains KVM_EXIT_INTERNAL_ERROR.
func (v *VCPU) internalError() error {
	const emulation = 1
	x := v.c.KVM.InternalError()
	if x.Suberror != emulation {
		return fmt.Errorf("KVM reports internal error %d %x", x.Suberror, x.Data[:min(x.NData, 16)])
	}
	return ErrEmulation
}

// failed makes the error that ends a run, with the registers and the code at RIP, which is what a bug report needs.
func (v *VCPU) failed(err error) *Stop {
	return &Stop{VCPU: v.c.ID, Err: &Error{VCPU: v.c.ID, Err: err, State: v.dump()}}
}

// Error is a vCPU that cannot go on.
type Error struct {
	VCPU  int
	Err   error
	State string // registers and code, several lines
}

// Error implements error, in one line.
func (e *Error) Error() string { return fmt.Sprintf("vCPU %d: %v", e.VCPU, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// dump describes the registers and the bytes at RIP.
func (v *VCPU) dump() string {
	k := v.c.KVM
	r, err := k.Regs()
	if err != nil {
		return err.Error()
	}
	s, err := k.Sregs()
	if err != nil {
		return err.Error()
	}
	code := "not mapped"
	if gpa, ok := k.Translate(s.CS.Base + r.RIP); ok {
		for n := uint64(16); n > 0; n-- {
			if b, err := v.c.Memory.Slice(gpa, n); err == nil {
				code = fmt.Sprintf("% x", b)
				break
			}
		}
	}
	return fmt.Sprintf(`rip %016x rsp %016x rflags %08x
rax %016x rbx %016x rcx %016x rdx %016x
rsi %016x rdi %016x rbp %016x r8  %016x
r9  %016x r10 %016x r11 %016x r12 %016x
r13 %016x r14 %016x r15 %016x
cr0 %x cr2 %x cr3 %x cr4 %x efer %x
cs %x base %x ss %x base %x gdt %x+%x idt %x+%x
code at rip: %s`,
		r.RIP, r.RSP, r.RFLAGS, r.RAX, r.RBX, r.RCX, r.RDX, r.RSI, r.RDI, r.RBP, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
		s.CR0, s.CR2, s.CR3, s.CR4, s.EFER, s.CS.Selector, s.CS.Base, s.SS.Selector, s.SS.Base,
		s.GDT.Base, s.GDT.Limit, s.IDT.Base, s.IDT.Limit, code)
}

// describeExit names the access of the last exit, for a log line.
func (v *VCPU) describeExit() string {
	k := v.c.KVM
	switch k.ExitReason() {
	case kvm.ExitIO:
		x, _ := k.IO()
		return fmt.Sprintf("port %#x", x.Port)
	case kvm.ExitMMIO:
		return fmt.Sprintf("address %#x", k.MMIO().Addr)
	case kvm.ExitRDMSR, kvm.ExitWRMSR:
		return fmt.Sprintf("MSR %#x", k.MSR().Index)
	}
	return fmt.Sprintf("exit %d", k.ExitReason())
}
