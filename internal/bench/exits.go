package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// The bare loop in C; the guest's code and the machine there are those of exitMachine.
//
//go:embed bare/bare.c
var bareSource []byte

const (
	exitEntry  = 0x1000
	exitPort   = 0x500
	warmExits  = 2000
	timedExits = 30_000 // some 0.3 s where an exit takes 10 µs
)

// exitCode writes to the port and jumps back: mov dx, port; out dx, al; jmp -3.
var exitCode = []byte{0xba, exitPort & 0xff, exitPort >> 8, 0xee, 0xeb, 0xfd}

func measureExits(ctx context.Context, o options, r *report.Report) error {
	bare, err := compileBare(ctx, o.dir)
	if err != nil {
		r.Note("exits: no comparison with C: %v", err)
	}
	own := r.Of("ns/exit", "ns", report.Ours)
	var peer *report.Series
	if bare != "" {
		peer = r.Of("ns/exit", "ns", "bare C loop")
	}
	var allocations uint64
	for round := range o.rounds {
		first, second := func() error {
			e, err := timeExits()
			if err != nil {
				return err
			}
			own.Add(e.ns)
			allocations = max(allocations, e.allocations)
			return nil
		}, func() error {
			if bare == "" {
				return nil
			}
			ns, err := timeBare(ctx, bare)
			if err == nil {
				peer.Add(ns)
			}
			return err
		}
		if round%2 == 1 { // whoever runs first has a colder machine
			first, second = second, first
		}
		if err := errors.Join(first(), second()); err != nil {
			return err
		}
	}
	r.Of("allocations/exit", "allocs", report.Ours).Add(float64(allocations) / timedExits)
	return nil
}

// compileBare builds the C loop with the system's compiler.
func compileBare(ctx context.Context, dir string) (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", errors.New("there is no C compiler (cc)")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "bare")
	c := exec.CommandContext(ctx, cc, "-O2", "-x", "c", "-o", out, "-")
	c.Stdin = strings.NewReader(string(bareSource))
	if msg, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", cc, err, msg)
	}
	return out, nil
}

func timeBare(ctx context.Context, bare string) (ns float64, err error) {
	out, err := exec.CommandContext(ctx, bare, strconv.Itoa(warmExits), strconv.Itoa(timedExits)).Output()
	if err != nil {
		return 0, fmt.Errorf("bare C loop: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// exitTimes is what one run of our loop took.
type exitTimes struct {
	ns          float64 // for each exit
	allocations uint64  // in all timed exits together
}

// timeExits runs the guest under the monitor as a machine would: the port is a device on the bus.
func timeExits() (exitTimes, error) {
	sys, err := kvm.Open("")
	if err != nil {
		return exitTimes{}, err
	}
	defer sys.Close()
	mem, err := memory.New(memory.Config{Size: 2 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: memory.Anonymous})
	if err != nil {
		return exitTimes{}, err
	}
	defer mem.Close()
	if err := mem.Write(exitEntry, exitCode); err != nil {
		return exitTimes{}, err
	}
	stopped := make(chan vcpu.Stop, 1)
	vm, err := vmm.New(vmm.Config{
		System: sys, Memory: mem, RealModePages: 0xfeffc000,
		CPU:    cpuid.Policy{Topology: cpuid.Topology{CPUs: 1, CoresPerSocket: 1}},
		OnStop: func(s vcpu.Stop) { stopped <- s },
	})
	if err != nil {
		return exitTimes{}, err
	}
	defer vm.Close()
	meter := &exitMeter{done: make(chan struct{})}
	if err := vm.Ports.Map(exitPort, 1, meter); err != nil {
		return exitTimes{}, err
	}
	if err := realModeAt(vm.VCPUs()[0].KVM(), exitEntry); err != nil {
		return exitTimes{}, err
	}
	vm.Start()
	select {
	case <-meter.done:
	case s := <-stopped:
		return exitTimes{}, fmt.Errorf("the guest stopped: %w", s.Err)
	}
	vm.Stop()
	return exitTimes{
		ns:          float64(meter.end.Sub(meter.start).Nanoseconds()) / timedExits,
		allocations: meter.after.Mallocs - meter.before.Mallocs,
	}, nil
}

func realModeAt(cpu *kvm.VCPU, ip uint64) error {
	s, err := cpu.Sregs()
	if err != nil {
		return err
	}
	s.CS.Base, s.CS.Selector = 0, 0
	if err := cpu.SetSregs(s); err != nil {
		return err
	}
	return cpu.SetRegs(kvm.Regs{RIP: ip, RFLAGS: 2, RSP: 0x8000})
}

// exitMeter is the device behind the port. It runs on the vCPU's thread.
type exitMeter struct {
	n             int
	start, end    time.Time
	before, after runtime.MemStats
	done          chan struct{}
}

// Read is not used by the guest.
func (m *exitMeter) Read(_ uint64, p []byte) { clear(p) }

// Write counts an exit, and takes the time at the first and the last one that count.
func (m *exitMeter) Write(uint64, []byte) {
	switch m.n++; m.n {
	case warmExits:
		runtime.ReadMemStats(&m.before)
		m.start = time.Now()
	case warmExits + timedExits:
		m.end = time.Now()
		runtime.ReadMemStats(&m.after)
		close(m.done)
	}
}
