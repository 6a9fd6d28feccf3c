package machine

import "golang.org/x/sys/unix"

// descriptors is how many a machine may come to have open without its process's table of them growing.
const descriptors = 512

// WidenDescriptors has the kernel make the process's table of descriptors large enough for a machine. The table begins with 64 and grows as they are used up (Linux, fs/file.c,
// expand_fdtable); a process of several threads waits for a grace period of the kernel then, 8 to 20 ms, in the middle of a restore or of a guest's instruction. So does this: it is for a
// goroutine of its own, as early as possible, and may go on when the sandbox has closed. It is only a help.
func WidenDescriptors() {
	if fd, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, descriptors-1); err == nil {
		_ = unix.Close(fd)
	}
}
