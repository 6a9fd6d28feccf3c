package nested

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/sharevm/vmm/images/nested/agent"
	"github.com/sharevm/vmm/images/nested/wire"
	"github.com/sharevm/vmm/internal/debian"
	"golang.org/x/sys/unix"
)

const qemu = "qemu-system-x86_64"

// The descriptors that the outer machine inherits.
const (
	channelFD = 3 + iota
	initrdFD
)

// arguments is the outer machine's command line. The machine is QEMU's microvm: without PCI the guest boots in half the time. It keeps
// the RTC, whose absence would cost the kernel seconds, and ACPI, by which the kernel finds the virtio devices. Only one with a display is a PC.
func arguments(c Config, k debian.Kernel, shares []wire.Share, tscKHz uint64) []string {
	board, bus := []string{"-machine", "microvm,acpi=on,rtc=on,pic=off,pit=off", "-global", "virtio-mmio.force-legacy=false"}, "device"
	if c.Display != "" {
		board, bus = []string{"-machine", "q35,vmport=off,smm=off"}, "pci"
	}
	args := append(board,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-smp", fmt.Sprint(c.CPUs), "-m", fmt.Sprintf("%dM", c.MemoryMiB),
		"-serial", "stdio",
		"-kernel", k.Vmlinux, "-initrd", fmt.Sprintf("/proc/self/fd/%d", initrdFD), "-append", commandLine(tscKHz),
		// The first virtio device, because the guest numbers the ports by that.
		"-chardev", fmt.Sprintf("socket,id=agent,fd=%d", channelFD),
		"-device", "virtio-serial-"+bus+",max_ports=2", "-device", "virtserialport,chardev=agent,nr=1",
		"-device", "virtio-rng-"+bus,
		"-netdev", "user,id=net"+forwards(c.Publish)+displayForward(c.X11), "-device", "virtio-net-"+bus+",netdev=net",
	)
	if c.Display != "" {
		args = append(args, "-device", c.Display, "-device", "virtio-keyboard-pci", "-device", "virtio-mouse-pci", "-device", "virtio-tablet-pci",
			"-qmp", "unix:"+strings.ReplaceAll(c.Monitor, ",", ",,")+",server=on,wait=off")
	}
	if c.Accel == KVM {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else {
		thread := "single"
		if c.CPUs > 1 {
			thread = "multi"
		}
		// TCG does not tell KVM when a guest sets XCR0, so that a guest with XSAVE finds its area too small and warns at length.
		// What needs XSAVE has to go with it: systems take AVX for usable where they see it.
		args = append(args, "-accel", "tcg,thread="+thread+",tb-size=1024", "-cpu", "EPYC,+svm,+npt,-xsave,-avx,-avx2,-f16c,-fma")
	}
	if !c.Isolated {
		args = append(args, ninep(bus, "root", agent.RootTag, "/", ",readonly=on")...)
	}
	for i, s := range shares {
		args = append(args, ninep(bus, fmt.Sprintf("share%d", i), s.Tag, s.Path, "")...)
	}
	return args
}

// ninep are the arguments that export one folder of the host.
func ninep(bus, id, tag, path, options string) []string {
	return []string{
		"-fsdev", "local,id=" + id + ",security_model=none,multidevs=remap" + options + ",path=" + strings.ReplaceAll(path, ",", ",,"),
		"-device", "virtio-9p-" + bus + ",fsdev=" + id + ",mount_tag=" + tag,
	}
}

func forwards(fs []Forward) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, ",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest)
	}
	return b.String()
}

// commandLine is the guest kernel's.
func commandLine(tscKHz uint64) string {
	return strings.Join([]string{
		// The console is there for what goes wrong, as each character costs an exit.
		"console=ttyS0", "quiet", "panic=-1", "rdinit=" + agent.InitPath, "net.ifnames=0",
		// The clock is the host's TSC; the emulated timers to check it against are late on a loaded host.
		"no_timer_check", "tsc=reliable", fmt.Sprintf("tsc_early_khz=%d", tscKHz),
		// Protection and self-tests that a guest for one command does without: together a third of its boot.
		"mitigations=off", "init_on_alloc=0", "rodata=off", "apparmor=0", "audit=0", "nmi_watchdog=0",
		"cryptomgr.notests", "random.trust_cpu=on",
	}, " ")
}

// outer is the running outer machine.
type outer struct {
	pid     int
	channel *os.File // leads to the agent
	said    *tail    // the last of what QEMU and the guest's console said
	done    chan struct{}
	err     error // how it ended; valid once done is closed

	mu     sync.Mutex
	reason error // why it was ended from here, or nil
}

// startQEMU starts the outer machine. It dies with this process, however that ends, and with ctx.
func startQEMU(ctx context.Context, args []string, initrd *os.File, console io.Writer) (*outer, error) {
	path, err := exec.LookPath(qemu)
	if err != nil {
		return nil, fmt.Errorf("%s is missing: install the Debian package qemu-system-x86", qemu)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the channel to the guest: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "channel")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, fmt.Errorf("making the channel to the guest: %w", err)
	}
	o := &outer{channel: os.NewFile(uintptr(pair[0]), "channel"), said: &tail{live: console}, done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = o.said, o.said
	cmd.ExtraFiles = []*os.File{theirs, initrd}
	// A group of its own keeps the terminal's Ctrl-C for the command in the guest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the thread that started the child ends, so that thread has to stay.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			o.err = cmd.Wait()
			close(o.done)
		}
	}()
	if err := <-started; err != nil {
		o.channel.Close()
		return nil, fmt.Errorf("starting %s: %w", qemu, err)
	}
	o.pid = cmd.Process.Pid
	return o, nil
}

// stop ends the machine at once. What the guest wrote to shared folders has been synced before the agent reports an end.
func (o *outer) stop() {
	o.interrupt(nil)
	<-o.done
	o.channel.Close()
}

// interrupt ends the machine for a reason, of which the first counts. Whoever reads from its channel then sees the end.
func (o *outer) interrupt(reason error) {
	o.mu.Lock()
	if o.reason == nil {
		o.reason = reason
	}
	o.mu.Unlock()
	select {
	case <-o.done: // its number may belong to somebody else by now
	default:
		_ = unix.Kill(-o.pid, unix.SIGKILL) // it may just have ended, which is as good
	}
}

// cause is why the machine was ended from here; nil when it was not.
func (o *outer) cause() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reason
}

// failure describes an outer machine that went wrong, with its last words.
func (o *outer) failure(what string) error {
	said := o.said.String()
	if strings.Contains(said, "bql_locked") || strings.Contains(said, "qemu_mutex_iothread_locked") {
		what += " (QEMU's emulation of SVM aborted: the CR8 cure did not work)"
	}
	if said != "" {
		said = "\n" + said
	}
	return fmt.Errorf("%w: %s%s", ErrInfrastructure, what, said)
}
