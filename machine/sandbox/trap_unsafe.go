package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the handler in trap_amd64.s works with.
//
//lint:file-ignore U1000 assembly uses them
var (
	trapCounts [512]uint32 // by system call; the last also counts what is beyond
	trapWake   int32       // an eventfd
	trapOne    = uint64(1)
)

// trapHandler returns the addresses of the handler and of what it returns to.
func trapHandler() (handler, restorer uintptr)

// sigaction is struct kernel_sigaction.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saSiginfo  = 0x4
	saOnStack  = 0x08000000
	saRestorer = 0x04000000
	saRestart  = 0x10000000
)

// handleTraps has the handler called in place of the Go runtime's, which would end the process.
func handleTraps(wake int) error {
	trapWake = int32(wake)
	handler, restorer := trapHandler()
	act := sigaction{handler: handler, restorer: restorer, flags: saSiginfo | saOnStack | saRestorer | saRestart, mask: ^uint64(0)}
	_, _, errno := unix.Syscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSYS), uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
	if errno != 0 {
		return fmt.Errorf("handler of refused calls: %w", errno)
	}
	return nil
}
