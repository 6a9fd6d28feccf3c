package main

import "unsafe"

// out and in are the instructions of those names, for widths of 1, 2 and 4 bytes. The thread needs the right to use the port.
func out(port uint16, width int, v uint32)
func in(port uint16, width int) uint32

// address is where p lies in this process.
func address(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

// load reads width bytes (1, 2, 4 or 8) of the BAR in one access, aligned or not, also where nobody looks at the result.
//
//go:noinline
func (v *victim) load(off, width int) uint64 {
	p := unsafe.Pointer(&v.bar[off : off+width][0])
	switch width {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

// store writes width bytes of the BAR in one access.
//
//go:noinline
func (v *victim) store(off, width int, x uint64) {
	p := unsafe.Pointer(&v.bar[off : off+width][0])
	switch width {
	case 1:
		*(*uint8)(p) = uint8(x)
	case 2:
		*(*uint16)(p) = uint16(x)
	case 4:
		*(*uint32)(p) = uint32(x)
	default:
		*(*uint64)(p) = x
	}
}
