package agent

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// holdVM makes a VM and keeps it for as long as this machine runs. With its first VM a kernel that runs KVM rewrites instructions of its scheduler (kernel/jump_label.c; KVM asks to be
// told of switches of tasks), and once more when the last one goes. Under QEMU 7.2 with several processors that was seen to end badly, twice in some 130 starts of sessions: all processors
// stood still at such an instruction, as if they took the breakpoint for ever that is there while it is written. With a VM that stays it is written once, and while nothing else runs.
func holdVM() error {
	const kvmCreateVM = 0xae01
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/kvm: %w", err)
	}
	defer unix.Close(fd)
	vm, err := unix.IoctlRetInt(fd, kvmCreateVM)
	if err != nil {
		return fmt.Errorf("making a VM to keep: %w", err)
	}
	unix.CloseOnExec(vm)
	return nil
}
