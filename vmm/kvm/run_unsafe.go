package kvm

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runArea is the head of struct kvm_run.
type runArea struct {
	// control is request_interrupt_window (byte 0), immediate_exit (byte 1) and padding, stored as one word so that
	// another thread may set it.
	control     uint32
	_           uint32
	exitReason  uint32
	readyForIRQ uint8
	ifFlag      uint8
	flags       uint16
	cr8         uint64
	apicBase    uint64
	exit        [256]byte // the union
}

const immediateExit = 1 << 8

// The overlays of the union in struct kvm_run.
type (
	// IOExit is an access to an I/O port.
	IOExit struct {
		Direction  uint8 // 0 in, 1 out
		Size       uint8 // bytes of one item: 1, 2 or 4
		Port       uint16
		Count      uint32 // items, more than 1 for string instructions
		dataOffset uint64
	}
	// MMIOExit is an access to memory that no slot backs.
	MMIOExit struct {
		Addr    uint64
		Data    [8]byte
		Len     uint32
		IsWrite uint8
	}
	// FailEntryExit says why the CPU refused to enter the guest.
	FailEntryExit struct {
		Reason uint64
		CPU    uint32
	}
	// InternalErrorExit is a failure inside KVM. For emulation failures Data[0] holds flags, and the bytes of the
	// instruction follow.
	InternalErrorExit struct {
		Suberror uint32
		NData    uint32
		Data     [16]uint64
	}
	// MSRExit is an access to an MSR that KVM left to user space.
	MSRExit struct {
		Error  uint8
		_      [7]uint8
		Reason uint32
		Index  uint32
		Data   uint64
	}
	// HyperVExit is something of Hyper-V's interface that KVM leaves to the monitor.
	HyperVExit struct {
		Type   uint32
		_      uint32
		Input  uint64 // of a hypercall
		Result uint64 // to be filled in for a hypercall
		Params [2]uint64
	}
	// SystemEventExit is a request by the guest to the monitor.
	SystemEventExit struct {
		Type  uint32
		NData uint32
		Data  [16]uint64
	}
)

// Exit reasons.
const (
	ExitUnknown       = 0
	ExitIO            = 2
	ExitDebug         = 4
	ExitHLT           = 5
	ExitMMIO          = 6
	ExitIRQWindow     = 7
	ExitShutdown      = 8
	ExitFailEntry     = 9
	ExitIntr          = 10
	ExitInternalError = 17
	ExitSystemEvent   = 24
	ExitHyperV        = 27
	ExitRDMSR         = 29
	ExitWRMSR         = 30
)

func newVCPU(fd int, area []byte) *VCPU {
	return &VCPU{fd: fd, area: area, run: (*runArea)(unsafe.Pointer(&area[0]))}
}

// Run enters the guest until it exits (KVM_RUN). It returns EINTR after RequestExit or a signal, and is not repeated here: a
// kick that was answered by another entry would be lost.
func (c *VCPU) Run() unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), 0xAE80, 0)
	return errno
}

// RequestExit makes the present or next Run return EINTR at once, after completing the access that the guest is in the middle of.
// It may be called from any thread; a thread that is inside the guest also needs a signal.
func (c *VCPU) RequestExit() { atomic.StoreUint32(&c.run.control, immediateExit) }

// ClearExitRequest undoes RequestExit. Only the running thread calls it, and only then looks at what was requested.
func (c *VCPU) ClearExitRequest() { atomic.StoreUint32(&c.run.control, 0) }

// ExitReason says why the last Run returned.
func (c *VCPU) ExitReason() uint32 { return c.run.exitReason }

// IO returns the details of ExitIO and its data: Count items of Size bytes. For an input, fill them.
func (c *VCPU) IO() (*IOExit, []byte) {
	x := (*IOExit)(unsafe.Pointer(&c.run.exit))
	n := uint64(x.Size) * uint64(x.Count)
	return x, c.area[x.dataOffset : x.dataOffset+n]
}

// MMIO returns the details of ExitMMIO. For a load, fill Data.
func (c *VCPU) MMIO() *MMIOExit { return (*MMIOExit)(unsafe.Pointer(&c.run.exit)) }

// FailEntry returns the details of ExitFailEntry.
func (c *VCPU) FailEntry() *FailEntryExit { return (*FailEntryExit)(unsafe.Pointer(&c.run.exit)) }

// InternalError returns the details of ExitInternalError.
func (c *VCPU) InternalError() *InternalErrorExit {
	return (*InternalErrorExit)(unsafe.Pointer(&c.run.exit))
}

// MSR returns the details of ExitRDMSR and ExitWRMSR. A non-zero Error gives the guest a fault.
func (c *VCPU) MSR() *MSRExit { return (*MSRExit)(unsafe.Pointer(&c.run.exit)) }

// HyperV returns the details of ExitHyperV.
func (c *VCPU) HyperV() *HyperVExit { return (*HyperVExit)(unsafe.Pointer(&c.run.exit)) }

// SystemEvent returns the details of ExitSystemEvent.
func (c *VCPU) SystemEvent() *SystemEventExit {
	return (*SystemEventExit)(unsafe.Pointer(&c.run.exit))
}

// encodeRouting lays out struct kvm_irq_routing: the number of entries, no flags, the entries.
func encodeRouting(routes []IRQRoute) *uint64 {
	const words = unsafe.Sizeof(IRQRoute{}) / 8
	buf := make([]uint64, 1+len(routes)*int(words))
	buf[0] = uint64(len(routes))
	if len(routes) > 0 {
		copy(unsafe.Slice((*IRQRoute)(unsafe.Pointer(&buf[1])), len(routes)), routes)
	}
	return &buf[0]
}
