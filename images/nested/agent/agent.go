package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

// InitPath is where a guest's initramfs holds the agent.
const InitPath = "/vmm-nested-agent"

// port is the virtio-serial port that leads to the host: port 1 of the machine's first virtio device.
const port = "/dev/vport0p1"

// portWait is far more than the port takes to appear.
const portWait = 30 * time.Second

// RunIfInit turns the process into the agent, and never returns, when it is the first process of a nested host's guest. Everywhere
// else it returns at once.
func RunIfInit() {
	if os.Getpid() != 1 || os.Args[0] != InitPath {
		return
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "nested: %v\n", err)
	}
	// The host ends the machine when it has heard how the command ended; this is for when it could not be told.
	fmt.Fprintln(os.Stderr, "nested: powering off:", setup.PowerOff())
}

// run serves the host once. An error is one that the host could not be told.
func run() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	if err := setup.WaitFor(port, portWait); err != nil {
		return err
	}
	// Left blocking: a write then waits until the host's end is open, which the driver learns a little after the port appears.
	fd, err := unix.Open(port, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", port, err)
	}
	conn := os.NewFile(uintptr(fd), port)
	out, in := wire.NewWriter(conn), wire.NewReader(conn)
	if err := out.WriteMessage(wire.KindHello, hello()); err != nil {
		return fmt.Errorf("greeting the host: %w", err)
	}
	start, err := in.ReadStart()
	if err != nil {
		return fmt.Errorf("hearing what to run: %w", err)
	}
	exit, err := serve(start, in, out)
	unix.Sync()
	if err != nil {
		if err := out.Write(wire.Frame{Kind: wire.KindFailure, Payload: []byte(err.Error())}); err != nil {
			return fmt.Errorf("reporting a failure: %w", err)
		}
	} else if err := out.WriteMessage(wire.KindExit, exit); err != nil {
		return fmt.Errorf("reporting the exit status: %w", err)
	}
	// Powering off now would race with the host's reading of that last frame. The host ends the machine.
	return unix.Pause()
}

func hello() wire.Hello {
	var uts unix.Utsname
	var h wire.Hello
	if unix.Uname(&uts) == nil {
		h.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		s, _, _ := strings.Cut(string(b), " ")
		h.Uptime, _ = strconv.ParseFloat(s, 64)
	}
	return h
}

// serve prepares the guest and runs the command. An error means that the command was not started or its end not seen.
func serve(start wire.Start, in *wire.Reader, out *wire.Writer) (wire.Exit, error) {
	now := unix.NsecToTimespec(start.Clock)
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return wire.Exit{}, fmt.Errorf("setting the clock: %w", err)
	}
	if err := network(); err != nil {
		return wire.Exit{}, err
	}
	if err := fileSystems(start); err != nil {
		return wire.Exit{}, err
	}
	if err := checkKVM(start.CR8); err != nil {
		return wire.Exit{}, err
	}
	limit := unix.Rlimit{Cur: 64 << 10, Max: 1 << 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return wire.Exit{}, fmt.Errorf("raising the limit of open files: %w", err)
	}
	return runCommand(start, in, out)
}

// checkKVM makes sure that the guest can do what it is there for.
func checkKVM(cr8 bool) error {
	const kvmGetAPIVersion = 0xae00
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the guest has no /dev/kvm: %w", err)
	}
	defer unix.Close(fd)
	if v, err := unix.IoctlRetInt(fd, kvmGetAPIVersion); err != nil || v != 12 {
		return fmt.Errorf("the guest's /dev/kvm is not KVM as we know it: version %d instead of 12 (%v)", v, err)
	}
	if err := os.Chmod("/dev/kvm", 0o666); err != nil {
		return err
	}
	if !cr8 {
		return nil
	}
	// The patched module has lost its signature, which the kernel shows as a taint of that module.
	taint, err := os.ReadFile("/sys/module/kvm_amd/taint")
	if err != nil || !strings.Contains(string(taint), "E") {
		return fmt.Errorf("the guest's kvm-amd is not the one with the CR8 cure (taint %q, %v)", taint, err)
	}
	return nil
}
