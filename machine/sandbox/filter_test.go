package sandbox

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// judge runs a program on one system call. The interpreter reads big-endian words where the kernel reads its own.
func judge(t *testing.T, program []unix.SockFilter, arch uint32, nr uintptr, args ...uint64) uint32 {
	t.Helper()
	var data [dataArgs + 6*8]byte
	binary.BigEndian.PutUint32(data[dataNr:], uint32(nr))
	binary.BigEndian.PutUint32(data[dataArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[dataArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[dataArgs+8*i+4:], uint32(a>>32))
	}
	var raw []bpf.Instruction
	for _, i := range program {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K}.Disassemble())
	}
	vm, err := bpf.NewVM(raw)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := vm.Run(data[:])
	if err != nil {
		t.Fatal(err)
	}
	return uint32(verdict)
}

func TestFilter(t *testing.T) {
	const allow, trap, kill = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_TRAP, unix.SECCOMP_RET_KILL_PROCESS
	file := NewFile("/etc/resolv.conf")
	if err := pin([]*File{file}); err != nil {
		t.Fatal(err)
	}
	at, here := file.address(), ^uint64(99) // AT_FDCWD
	self := uint64(unix.Getpid())
	bare, online := &Config{}, &Config{Network: true, Tap: true, Files: []*File{file}}
	for _, x := range []struct {
		name string
		c    *Config
		nr   uintptr
		args []uint64
		want uint32
	}{
		{"futex", bare, unix.SYS_FUTEX, nil, allow},
		{"run a vCPU", bare, unix.SYS_IOCTL, []uint64{7, 0xAE80}, allow},
		{"another KVM request", bare, unix.SYS_IOCTL, []uint64{7, 0x4020AE46}, allow},
		{"terminal's size", bare, unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
		{"terminal's input", bare, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, trap},
		{"offloads without TAP", bare, unix.SYS_IOCTL, []uint64{7, unix.TUNSETOFFLOAD}, trap},
		{"offloads", online, unix.SYS_IOCTL, []uint64{7, unix.TUNSETOFFLOAD}, allow},
		{"thread", bare, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_SETTLS}, allow},
		{"process", bare, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, trap},
		{"thread in a namespace", bare, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_NEWNET}, trap},
		{"clone3", bare, unix.SYS_CLONE3, nil, trap},
		{"own signal", bare, unix.SYS_TGKILL, []uint64{self, self, 23}, allow},
		{"signal to another", bare, unix.SYS_TGKILL, []uint64{self + 1, self + 1, 9}, trap},
		{"signal to the group", bare, unix.SYS_KILL, []uint64{0, 9}, trap},
		{"data", bare, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow},
		{"code", bare, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, trap},
		{"data to code", bare, unix.SYS_MPROTECT, []uint64{0, 4096, unix.PROT_EXEC}, trap},
		{"lock", bare, unix.SYS_FCNTL, []uint64{3, unix.F_OFD_SETLK}, allow},
		{"a wider table of descriptors", bare, unix.SYS_FCNTL, []uint64{2, unix.F_DUPFD_CLOEXEC, 511}, allow},
		{"signals by the kernel", bare, unix.SYS_FCNTL, []uint64{3, unix.F_SETOWN}, trap},
		{"socket without network", bare, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, trap},
		{"accept without network", bare, unix.SYS_ACCEPT4, nil, trap},
		{"accept for a control socket", &Config{Listening: true}, unix.SYS_ACCEPT4, nil, allow},
		{"socket for a control socket", &Config{Listening: true}, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, trap},
		{"TCP", online, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK}, allow},
		{"UDP to IPv6", online, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM}, allow},
		{"raw socket", online, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW}, trap},
		{"netlink", online, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_DGRAM}, trap},
		{"listen", online, unix.SYS_LISTEN, nil, trap},
		{"own priority", &Config{Priorities: true}, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, self, 5}, allow},
		{"the user's priority", &Config{Priorities: true}, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_USER, 0, 5}, trap},
		{"priority without need", bare, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, self, 5}, trap},
		{"its file", online, unix.SYS_OPENAT, []uint64{here, at, openFlags}, allow},
		{"its file for writing", online, unix.SYS_OPENAT, []uint64{here, at, openFlags | unix.O_RDWR}, trap},
		{"a path beside", online, unix.SYS_OPENAT, []uint64{here, at + 1, openFlags}, trap},
		{"a path elsewhere", online, unix.SYS_OPENAT, []uint64{here, at ^ 1<<40, openFlags}, trap},
		{"a file without files", bare, unix.SYS_OPENAT, []uint64{here, at, openFlags}, trap},
		{"x32", bare, unix.SYS_READ | x32, nil, kill},
	} {
		t.Run(x.name, func(t *testing.T) {
			p, err := assemble(calls(x.c, true))
			if err != nil {
				t.Fatal(err)
			}
			if got := judge(t, p, unix.AUDIT_ARCH_X86_64, x.nr, x.args...); got != x.want {
				t.Errorf("verdict %#x, want %#x", got, x.want)
			}
		})
	}
	p, err := assemble(calls(online, false))
	if err != nil {
		t.Fatal(err)
	}
	if got := judge(t, p, unix.AUDIT_ARCH_X86_64, unix.SYS_OPENAT, here, at, openFlags); got != trap {
		t.Errorf("openat without Landlock: verdict %#x", got)
	}
	if got := judge(t, p, unix.AUDIT_ARCH_I386, unix.SYS_READ); got != kill {
		t.Errorf("a 32-bit call: verdict %#x", got)
	}
}

func TestAssembleRefuses(t *testing.T) {
	if _, err := assemble(always(unix.SYS_READ, unix.SYS_READ)); err == nil {
		t.Error("a call that is listed twice")
	}
	many := call{nr: unix.SYS_IOCTL}
	for i := range uint32(200) {
		many.when = append(many.when, []test{is(1, i)})
	}
	if _, err := assemble([]call{many}); err == nil {
		t.Error("a call with conditions beyond the reach of a jump")
	}
}
