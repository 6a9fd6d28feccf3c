package guesttest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/machine/sandbox/escape"
	"github.com/sharevm/vmm/vmm/kvm"
)

// brokenDevice has the test binary run a machine itself, as vmm run does, one device of which is in the attacker's hands.
const brokenDevice = "VMM_TEST_BROKEN_DEVICE"

func TestMain(m *testing.M) {
	if os.Getenv(brokenDevice) == "" {
		os.Exit(m.Run())
	}
	if err := runBroken(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "broken machine:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runBroken runs a machine whose marker port does what an attacker would when the guest writes to it.
func runBroken(file, folder, pid, addr string) error {
	target := escape.Target{Folder: folder, Address: netip.MustParseAddrPort(addr)}
	var err error
	if target.PID, err = strconv.Atoi(pid); err != nil {
		return err
	}
	cfg, _, _, err := vmx.Load(file, vmx.Options{AllowOutside: true})
	if err != nil {
		return err
	}
	sys, err := kvm.Open("")
	if err != nil {
		return err
	}
	defer sys.Close()
	m, err := machine.New(machine.Options{
		Config: cfg, System: sys, Out: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		OnReady: func() {
			for _, a := range escape.All() {
				fmt.Fprintf(os.Stderr, "attempt %s: %v\n", a.Name, a.Do(target))
			}
		},
	})
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Confine(); err != nil {
		return err
	}
	return m.Run(context.Background())
}

// TestBrokenDevice has a device do its worst from inside a running machine, beside another machine. Everything is refused and logged, and
// both machines live on.
func TestBrokenDevice(t *testing.T) {
	other := newFile(t, "button")
	disk := filepath.Join(other.dir, "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	other.addDisk(0, "disk.img")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	beside := other.start(t)
	beside.expect("waiting for the button")

	f := newFile(t, "mark:"+strconv.Itoa(machine.MarkReady)+",rng,info")
	c := exec.Command("/proc/self/exe", f.write(t), other.dir, strconv.Itoa(beside.cmd.Process.Pid), l.Addr().String())
	c.Env = append(os.Environ(), brokenDevice+"=1")
	broken := f.startAs(t, c)
	broken.broken = true
	broken.finish()
	said := broken.err.String()
	for _, a := range escape.All() {
		if !strings.Contains(said, "attempt "+a.Name+": operation not permitted\n") {
			t.Errorf("%s: not refused", a.Name)
		}
		if !strings.Contains(said, "call="+a.Call+" ") {
			t.Errorf("%s: %s was not logged", a.Name, a.Call)
		}
	}
	if t.Failed() {
		t.Log(said)
	}

	confined(t, beside.cmd.Process.Pid)
	if err := beside.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	beside.finish()
	if _, err := os.Stat(disk); err != nil {
		t.Errorf("the other machine lost its disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(other.dir, "stolen")); err == nil {
		t.Error("the other machine has a file that is not its own")
	}
}

// confined looks at each thread of a process from outside.
func confined(t *testing.T, pid int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 3 {
		t.Fatalf("%d threads: %v", len(threads), err)
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"} {
			if !strings.Contains(string(b), line+"\n") {
				t.Errorf("%s: no %q", path, line)
			}
		}
	}
}

// TestNoSandbox runs without, which is said.
func TestNoSandbox(t *testing.T) {
	g := newFile(t, "rng").start(t, "--no-sandbox")
	g.finish()
	if s := g.err.String(); !strings.Contains(s, "no sandbox") {
		t.Errorf("no warning: %q", s)
	}
}
