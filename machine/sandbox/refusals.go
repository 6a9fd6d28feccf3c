package sandbox

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// watchTraps logs what the filter refuses, from now on and as long as the process lives.
func watchTraps(log *slog.Logger) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("event of refused calls: %w", err)
	}
	wake := os.NewFile(uintptr(fd), "refused calls")
	if err := handleTraps(fd); err != nil {
		return err
	}
	go logTraps(wake, log)
	return nil
}

func logTraps(wake *os.File, log *slog.Logger) {
	var logged [len(trapCounts)]uint32
	var event [8]byte
	for {
		if _, err := wake.Read(event[:]); err != nil {
			log.Error("refused system calls are not logged any more", "err", err)
			return
		}
		for nr := range trapCounts {
			n := atomic.LoadUint32(&trapCounts[nr])
			if n == logged[nr] {
				continue
			}
			logged[nr] = n
			log.Error("the sandbox refused a system call", "call", callName(nr), "times", n)
		}
	}
}

// callName names a system call that an attack is likely to begin with.
func callName(nr int) string {
	if name := callNames[nr]; name != "" {
		return name
	}
	return fmt.Sprintf("number %d", nr)
}

var callNames = map[int]string{
	unix.SYS_OPEN: "open", unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_CREAT: "creat", unix.SYS_OPEN_BY_HANDLE_AT: "open_by_handle_at",
	unix.SYS_STAT: "stat", unix.SYS_LSTAT: "lstat", unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_STATX: "statx", unix.SYS_ACCESS: "access", unix.SYS_FACCESSAT: "faccessat",
	unix.SYS_FACCESSAT2: "faccessat2", unix.SYS_READLINK: "readlink", unix.SYS_READLINKAT: "readlinkat", unix.SYS_GETDENTS64: "getdents64",
	unix.SYS_UNLINK: "unlink", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_RENAME: "rename", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
	unix.SYS_MKDIRAT: "mkdirat", unix.SYS_LINKAT: "linkat", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_MKNODAT: "mknodat", unix.SYS_FCHMODAT: "fchmodat",
	unix.SYS_FCHOWNAT: "fchownat", unix.SYS_TRUNCATE: "truncate", unix.SYS_CHDIR: "chdir", unix.SYS_CHROOT: "chroot",
	unix.SYS_EXECVE: "execve", unix.SYS_EXECVEAT: "execveat", unix.SYS_FORK: "fork", unix.SYS_VFORK: "vfork", unix.SYS_CLONE: "clone", unix.SYS_CLONE3: "clone3",
	unix.SYS_PTRACE: "ptrace", unix.SYS_PROCESS_VM_READV: "process_vm_readv", unix.SYS_PROCESS_VM_WRITEV: "process_vm_writev", unix.SYS_PIDFD_OPEN: "pidfd_open",
	unix.SYS_PIDFD_GETFD: "pidfd_getfd", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_KILL: "kill", unix.SYS_TKILL: "tkill", unix.SYS_TGKILL: "tgkill",
	unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_FSOPEN: "fsopen",
	unix.SYS_OPEN_TREE: "open_tree", unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns",
	unix.SYS_BPF: "bpf", unix.SYS_PERF_EVENT_OPEN: "perf_event_open", unix.SYS_USERFAULTFD: "userfaultfd", unix.SYS_IO_URING_SETUP: "io_uring_setup",
	unix.SYS_INIT_MODULE: "init_module", unix.SYS_FINIT_MODULE: "finit_module", unix.SYS_KEXEC_LOAD: "kexec_load", unix.SYS_IOPL: "iopl", unix.SYS_IOPERM: "ioperm",
	unix.SYS_KEYCTL: "keyctl", unix.SYS_ADD_KEY: "add_key", unix.SYS_SETUID: "setuid", unix.SYS_SETRESUID: "setresuid", unix.SYS_CAPSET: "capset",
	unix.SYS_SOCKET: "socket", unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_CONNECT: "connect", unix.SYS_BIND: "bind", unix.SYS_LISTEN: "listen",
	unix.SYS_IOCTL: "ioctl", unix.SYS_FCNTL: "fcntl", unix.SYS_PRCTL: "prctl", unix.SYS_MMAP: "mmap", unix.SYS_MPROTECT: "mprotect",
	unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_SETRLIMIT: "setrlimit", unix.SYS_SETPRIORITY: "setpriority", unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
}
