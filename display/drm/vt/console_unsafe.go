package vt

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// modeOf is struct vt_mode.
type modeOf struct {
	mode, waitv             int8
	relsig, acqsig, freesig int16
}

// setMode has the kernel ask this process before it switches away from the terminal, or nobody.
func setMode(fd int, process bool) error {
	m := modeOf{mode: vtAuto}
	if process {
		m = modeOf{mode: vtProcess, relsig: int16(releaseSignal), acqsig: int16(acquireSignal)}
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), vtSetMode, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return errno
	}
	return nil
}

// activeTerminal is the number of the terminal that is on the screen.
func activeTerminal(fd int) (int, error) {
	var s struct{ active, signal, state uint16 } // struct vt_stat
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), vtGetState, uintptr(unsafe.Pointer(&s))); errno != 0 {
		return 0, errno
	}
	return int(s.active), nil
}
