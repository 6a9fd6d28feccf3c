package setup

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// MarkPort is the I/O port on which vmm's board takes marks for its timeline: machine.MarkPort.
const MarkPort = 0x6F0

// Steps that the machine has names for; MarkReady is machine.MarkReady.
const (
	MarkInit    = 1 // the first process runs
	MarkRoot    = 2 // the root disk is mounted
	MarkNetwork = 3 // the network has an address
	MarkReady   = 4 // the guest is about to do what it was started for
)

// Mark tells the machine that a step has been reached, as a number that the machine puts on its timeline. The program needs
// CAP_SYS_RAWIO.
func Mark(n byte) (err error) {
	// In a guest of QEMU inside the nested host, and in one that goes on from a snapshot there, the instruction faults in spite of the permission: once the registers have been read and
	// written back, the task register's type says busy, and the emulated processor then looks at no I/O bitmap.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("marking step %d: %v", n, r)
		}
	}()
	// The permission belongs to the thread. Debian's cloud kernel has no /dev/port, which would spare the instruction.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := unix.Syscall(unix.SYS_IOPERM, MarkPort, 1, 1); errno != 0 {
		return fmt.Errorf("marking step %d: %w", n, errno)
	}
	outb(MarkPort, n)
	return nil
}

// outb is the instruction OUT DX, AL.
func outb(port uint16, value byte)
