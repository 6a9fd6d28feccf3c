package agent

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// holdVM makes a VM and keeps it for as long as this machine runs. With its first VM a kernel that runs KVM rewrites instructions of its scheduler (kernel/jump_label.c; KVM asks to be
// told of switches of tasks), and once more when the last one goes. Until 8.1 QEMU's emulation of several processors may translate such an instruction while another processor is
// writing it, and not notice: a processor that comes by then takes the breakpoint that was there meanwhile, for ever, and soon all of them do. With a VM that stays it happens once, and
// while nothing else runs.
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
