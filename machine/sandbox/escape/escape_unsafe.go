// Package escape is what an attacker tries who has taken over the process of a machine. Tests run it inside of a sandbox. No product
// imports it.
package escape

import (
	"net/netip"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Target is what there is to attack.
type Target struct {
	Folder  string         // of another machine
	PID     int            // of another machine
	Address netip.AddrPort // somebody that listens, by TCP over IPv4
}

// Attempt is one thing to try.
type Attempt struct {
	Name string
	// Call is the system call that must not come through, by its name.
	Call string
	// Do returns nil when the attempt succeeded.
	Do func(Target) error
}

// All returns every attempt, the one that ends the process if it succeeds last.
func All() []Attempt {
	return []Attempt{
		{"read /etc/passwd", "openat", func(Target) error { return open("/etc/passwd", unix.O_RDONLY) }},
		{"read /dev/mem", "openat", func(Target) error { return open("/dev/mem", unix.O_RDWR) }},
		{"read a path of its own by open", "open", readByOpen},
		{"write into another machine's folder", "openat", func(t Target) error {
			return open(filepath.Join(t.Folder, "stolen"), unix.O_WRONLY|unix.O_CREAT)
		}},
		{"delete another machine's disk", "unlinkat", func(t Target) error { return unix.Unlink(filepath.Join(t.Folder, "disk.img")) }},
		{"connect out", "socket", connect},
		{"talk to the session's bus", "socket", func(Target) error { return socket(unix.AF_UNIX, unix.SOCK_STREAM) }},
		{"listen to the network card", "socket", func(Target) error { return socket(unix.AF_PACKET, unix.SOCK_RAW) }},
		{"trace another machine", "ptrace", func(t Target) error { return unix.PtraceSeize(t.PID) }},
		{"read another machine's memory", "process_vm_readv", readMemory},
		{"signal another machine", "kill", func(t Target) error { return unix.Kill(t.PID, 0) }},
		{"mount", "mount", func(Target) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") }},
		{"enter a namespace", "unshare", func(Target) error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS) }},
		{"load a BPF program", "bpf", loadBPF},
		{"make system calls by io_uring", "io_uring_setup", setupRing},
		{"type into the user's shell", "ioctl", typeKey},
		{"run code of its own", "mmap", mapCode},
		{"raise its limits", "prlimit64", func(Target) error {
			return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		}},
		{"fork", "fork", fork},
		{"run a program", "execve", run},
	}
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func readByOpen(Target) error {
	path := []byte("/etc/hostname\x00")
	fd, _, errno := unix.Syscall(unix.SYS_OPEN, uintptr(unsafe.Pointer(&path[0])), unix.O_RDONLY, 0)
	return closed(fd, errno)
}

func connect(t Target) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrInet4{Addr: t.Address.Addr().As4(), Port: int(t.Address.Port())})
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func readMemory(t Target) error {
	var b [8]byte
	_, err := unix.ProcessVMReadv(t.PID, []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	return err
}

// loadBPF loads "r0 = 0; exit" as a socket filter.
func loadBPF(Target) error {
	program := [2]uint64{0xb7, 0x95}
	licence := []byte("GPL\x00")
	attr := struct {
		kind, count   uint32
		program, text uint64
		rest          [96]byte
	}{kind: unix.BPF_PROG_TYPE_SOCKET_FILTER, count: 2, program: uint64(uintptr(unsafe.Pointer(&program))), text: uint64(uintptr(unsafe.Pointer(&licence[0])))}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	return closed(fd, errno)
}

func setupRing(Target) error {
	var params [120]byte
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
	return closed(fd, errno)
}

func typeKey(Target) error {
	key := byte('\n')
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&key)))
	return result(errno)
}

func mapCode(Target) error {
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	return unix.Munmap(code)
}

func fork(Target) error {
	pid, _, errno := unix.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	if errno == 0 && pid == 0 {
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // the child: Go does not work in it
		}
	}
	return result(errno)
}

func run(Target) error {
	path := []byte("/bin/true\x00")
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(&path[0])), 0, 0)
	return result(errno)
}

func closed(fd uintptr, errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func result(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
