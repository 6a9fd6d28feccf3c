package sandbox

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// threadFlags are what the Go runtime makes threads with (runtime/os_linux.go), and what makes no new process or namespace.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// kvmIoctl is the type of KVM's requests (linux/kvm.h), and where a request has its type.
const (
	kvmIoctl  = 0xAE << 8
	ioctlType = 0xff << 8
	kvmRun    = 0xAE80
)

// calls is the list of what a process may do. Each group has its reason; what strace(1) sees of machines that boot, reboot and
// power off with disks and networks is within it, and every test with a real guest fails where its machine is refused anything. What is called
// most stands first; what has no condition the kernel answers from a bitmap, without running the filter.
func calls(c *Config, landlocked bool) []call {
	list := slices.Concat(device(c), runtime(), memory(), held())
	if c.Priorities {
		list = append(list, priorities()...)
	}
	if c.Network || c.Listening {
		list = append(list, served()...)
	}
	if c.Network {
		list = append(list, sockets()...)
	}
	if c.Child {
		list = append(list, child()...)
	}
	if landlocked {
		list = append(list, paths(c.Files)...)
	}
	return list
}

// device: the requests that KVM, the user's terminal, the user network's sockets (how many bytes wait) and TAP devices are given. TIOCSTI,
// which types into the user's shell, is not among them.
func device(c *Config) []call {
	requests := [][]test{
		{is(1, kvmRun)},
		{masked(1, ioctlType, kvmIoctl)},
	}
	more := []uint32{unix.TCGETS, unix.TCSETS, unix.TIOCGWINSZ, unix.TIOCINQ}
	if c.Tap {
		more = append(more, unix.TUNSETOFFLOAD)
	}
	for _, r := range more {
		requests = append(requests, []test{is(1, r)})
	}
	return []call{{unix.SYS_IOCTL, requests}}
}

// runtime: what Go's scheduler, timers, network poller and signals need. Threads can be made, processes cannot. Signals go to
// this process alone: to preempt goroutines, to kick vCPUs, and to die of a crash.
func runtime() []call {
	self := uint32(os.Getpid())
	return append(always(
		unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_RESTART_SYSCALL,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_EXIT, unix.SYS_EXIT_GROUP),
		one(unix.SYS_CLONE, masked(0, ^uint32(unix.CLONE_SETTLS), threadFlags)),
		one(unix.SYS_TGKILL, is(0, self)),
		one(unix.SYS_KILL, is(0, self)),
		one(unix.SYS_PRCTL, is(0, unix.PR_SET_VMA)), // names of the runtime's mappings, for /proc/PID/maps
	)
}

// memory: Go's heap and stacks, and guest RAM, which each power cycle makes anew. Nothing can be made executable.
func memory() []call {
	return append(always(unix.SYS_MADVISE, unix.SYS_MUNMAP, unix.SYS_MEMFD_CREATE, unix.SYS_SYSINFO),
		one(unix.SYS_MMAP, without(2, unix.PROT_EXEC)),
		one(unix.SYS_MPROTECT, without(2, unix.PROT_EXEC)),
	)
}

// held: the use of files that are open: disks, kernel, terminal, events. Among the requests of fcntl there are none that have the kernel
// send signals (F_SETOWN, F_SETSIG).
func held() []call {
	return append(always(
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV,
		unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2,
		unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FALLOCATE, unix.SYS_FTRUNCATE, unix.SYS_LSEEK,
		unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_CLOSE),
		oneOf(unix.SYS_FCNTL, 1, unix.F_DUPFD_CLOEXEC, unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD, unix.F_ADD_SEALS, unix.F_OFD_SETLK, unix.F_OFD_GETLK),
	)
}

// priorities: shares of the processors where there is no control group. A thread is named by its number, so that the filter cannot tell the
// process's own from others: a hostile one could slow down what else its user runs, down to the lowest priority.
func priorities() []call { return []call{one(unix.SYS_SETPRIORITY, is(0, unix.PRIO_PROCESS))} }

// served: connections to sockets that listen since before.
func served() []call {
	return always(
		unix.SYS_ACCEPT4, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SHUTDOWN,
		unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME)
}

// sockets: what the user network makes on behalf of its guest: TCP, UDP and unprivileged ping, over IPv4, and IPv6 to name servers. No
// packet sockets, no netlink, no Unix sockets, and none that listens.
func sockets() []call {
	const kind = 0xf // the rest of the argument are flags
	families := call{nr: unix.SYS_SOCKET}
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
		for _, t := range []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			families.when = append(families.when, []test{is(0, family), masked(1, kind, t)})
		}
	}
	return append(always(unix.SYS_CONNECT, unix.SYS_BIND), families)
}

// child: the end of a process that was started before. Signals go by a descriptor that Go got when it started the process, and none can be had now.
func child() []call {
	return append(always(unix.SYS_WAIT4), one(unix.SYS_WAITID, is(0, unix.P_PIDFD)), one(unix.SYS_PIDFD_SEND_SIGNAL, is(1, uint32(unix.SIGKILL))))
}

// paths: opening the files that can be opened again, by the address of their paths.
func paths(files []*File) []call {
	if len(files) == 0 {
		return nil
	}
	open := call{nr: unix.SYS_OPENAT}
	for _, f := range files {
		open.when = append(open.when, []test{address(1, f.address()), is(2, openFlags)})
	}
	return []call{open}
}
