package kvm

import (
	"fmt"
	"runtime"
	"unsafe"
)

// DirtyLog fills bitmap with a bit for each 4 KiB page of a memory slot that the guest wrote to since the last call or since logging began (MemLogDirtyPages), and
// protects these pages anew (KVM_GET_DIRTY_LOG). bitmap needs a bit for each page of the slot, in whole words.
func (v *VM) DirtyLog(slot uint32, bitmap []uint64) error {
	d := dirtyLog{slot: slot, bitmap: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bitmap))))}
	_, err := callPtr(v.fd, set[dirtyLog](0x42), &d)
	runtime.KeepAlive(bitmap)
	if err != nil {
		return fmt.Errorf("KVM_GET_DIRTY_LOG of slot %d: %w", slot, err)
	}
	return nil
}
