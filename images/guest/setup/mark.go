package setup

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// MarkPort is the I/O port on which vmm's board takes marks for its timeline: machine.MarkPort.
const MarkPort = 0x6F0

// Mark tells the machine that a step has been reached, as a number that the machine puts on its timeline. The program needs
// CAP_SYS_RAWIO.
func Mark(n byte) error {
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
