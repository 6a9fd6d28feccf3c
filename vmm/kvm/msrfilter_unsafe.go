package kvm

import (
	"fmt"
	"runtime"
	"unsafe"
)

// msrFilter is struct kvm_msr_filter: what a range does not name is allowed.
type msrFilter struct {
	_      uint32 // flags
	ranges [16]msrFilterRange
}

type msrFilterRange struct {
	flags  uint32
	count  uint32
	base   uint32
	bitmap *byte // a bit for each MSR, set for those that are allowed
}

const filterWrites = 1 << 1

// WatchMSR makes the guest's writes to an MSR exit to user space (KVM_X86_SET_MSR_FILTER), in place of an earlier one. EnableUserMSR must have been called.
func (v *VM) WatchMSR(index uint32) error {
	none := new(byte)
	f := &msrFilter{}
	f.ranges[0] = msrFilterRange{flags: filterWrites, count: 1, base: index, bitmap: none}
	_, err := callPtr(v.fd, ioc(dirWrite, 0xc6, unsafe.Sizeof(*f)), f)
	runtime.KeepAlive(none)
	if err != nil {
		return fmt.Errorf("KVM_X86_SET_MSR_FILTER for MSR %#x: %w", index, err)
	}
	return nil
}
