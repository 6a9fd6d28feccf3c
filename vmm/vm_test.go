package vmm_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// The tests of this file run payloads of a few real-mode instructions on /dev/kvm, whatever kind it is: they need no
// hardware virtualisation, only that the device opens (in the nested host VMM_TEST_KVM=require makes its absence a failure).

const entry = 0x1000

// machine is a VM with a payload at entry, and what its vCPUs reported.
type machine struct {
	*vmm.VM
	stops chan vcpu.Stop
}

func newMachine(t testing.TB, cpus int, code ...byte) *machine {
	t.Helper()
	return newLoggedMachine(t, nil, cpus, code...)
}

func newLoggedMachine(t testing.TB, log *slog.Logger, cpus int, code ...byte) *machine {
	t.Helper()
	return newConfiguredMachine(t, vmm.Config{Log: log}, cpus, code...)
}

// newConfiguredMachine takes from c what the others have no word for.
func newConfiguredMachine(t testing.TB, c vmm.Config, cpus int, code ...byte) *machine {
	t.Helper()
	sys, err := kvm.Open("")
	if err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no payload tests:", err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	if err := sys.Require(); err != nil {
		t.Fatal(err)
	}
	mem, err := memory.New(memory.Config{Size: 2 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: memory.Anonymous})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mem.Close() })
	if err := mem.Write(entry, code); err != nil {
		t.Fatal(err)
	}
	m := &machine{stops: make(chan vcpu.Stop, cpus)}
	c.System, c.Memory, c.RealModePages = sys, mem, 0xfeffc000
	c.CPU = cpuid.Policy{Topology: cpuid.Topology{CPUs: cpus, CoresPerSocket: cpus}}
	c.OnStop = func(s vcpu.Stop) { m.stops <- s }
	m.VM, err = vmm.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	bsp := m.VCPUs()[0].KVM()
	s, err := bsp.Sregs()
	if err != nil {
		t.Fatal(err)
	}
	s.CS.Base, s.CS.Selector = 0, 0
	if err := bsp.SetSregs(s); err != nil {
		t.Fatal(err)
	}
	if err := bsp.SetRegs(kvm.Regs{RIP: entry, RFLAGS: 2, RSP: 0x8000}); err != nil {
		t.Fatal(err)
	}
	return m
}

// recorder is a device that remembers writes and answers reads with a constant.
type recorder struct {
	answer byte
	got    chan access
}

type access struct {
	offset uint64
	data   string
}

func newRecorder(answer byte) *recorder {
	return &recorder{answer: answer, got: make(chan access, 64)}
}

func (r *recorder) Read(offset uint64, p []byte) {
	for i := range p {
		p[i] = r.answer
	}
}

func (r *recorder) Write(offset uint64, p []byte) {
	r.got <- access{offset, string(p)}
}

func mapPort(t testing.TB, b *bus.Bus, base, size uint64, d bus.Device) {
	t.Helper()
	if err := b.Map(base, size, d); err != nil {
		t.Fatal(err)
	}
}

func TestPortsAndMMIO(t *testing.T) {
	m := newMachine(t, 1,
		0xba, 0x00, 0x05, // mov dx, 0x500
		0xec,             // in al, dx
		0xee,             // out dx, al
		0x42,             // inc dx
		0xed,             // in ax, dx
		0xef,             // out dx, ax
		0xb8, 0xff, 0xff, // mov ax, 0xffff
		0x8e, 0xd8, // mov ds, ax
		0xa0, 0x10, 0x00, // mov al, [0x10]: linear 0x100000
		0xe6, 0x10, // out 0x10, al
		0xf4, // hlt
	)
	ports := newRecorder(0xa5)
	mapPort(t, m.Ports, 0x500, 8, ports)
	low := newRecorder(0)
	mapPort(t, m.Ports, 0x10, 1, low)
	m.Start()
	for _, want := range []access{{0, "\xa5"}, {1, "\xa5\xa5"}} {
		if got := <-ports.got; got != want {
			t.Errorf("port write %+v, want %+v", got, want)
		}
	}
	// Address 0x100000 is RAM of this machine (or wraps to 0 with A20 off): either way zero, not ones.
	if got := <-low.got; got.data != "\x00" {
		t.Errorf("RAM reads %q", got.data)
	}
	if n := m.VCPUs()[0].Exits(); n < 5 {
		t.Errorf("%d exits", n)
	}
}

// TestCoalescedStores stores a counter to a coalesced port, more often than KVM's ring can hold, and then to an ordinary one: the
// device sees all of it, in order, for a few exits.
func TestCoalescedStores(t *testing.T) {
	const stores = 1000
	m := newMachine(t, 1,
		0xba, 0x00, 0x05, // mov dx, 0x500
		0x31, 0xc0, // xor ax, ax
		0xef,             // again: out dx, ax
		0x40,             // inc ax
		0x3d, 0xe8, 0x03, // cmp ax, stores
		0x75, 0xf9, // jne again
		0xe7, 0x10, // out 0x10, ax
		0xf4, // hlt
	)
	counter := &counting{}
	mapPort(t, m.Ports, 0x500, 4, counter)
	last := newRecorder(0)
	mapPort(t, m.Ports, 0x10, 2, last)
	if err := m.CoalescePorts(0x500, 4, time.Hour); err != nil {
		t.Fatal(err)
	}
	m.Start()
	if got := <-last.got; got.data != "\xe8\x03" {
		t.Errorf("the store that ends it: %+v", got)
	}
	m.Stop()
	if counter.next != stores || counter.wrong > 0 {
		t.Errorf("%d stores seen, %d of them out of order", counter.next, counter.wrong)
	}
	if n := m.VCPUs()[0].Exits(); m.Coalesces() && n > stores/10 {
		t.Errorf("%d exits for %d stores", n, stores)
	}
}

// TestCoalescingEnds has a guest store to a coalesced port and never come out again by itself.
func TestCoalescingEnds(t *testing.T) {
	m := newMachine(t, 1,
		0xba, 0x00, 0x05, // mov dx, 0x500
		0xef,       // out dx, ax
		0xeb, 0xfe, // jmp self
	)
	r := newRecorder(0)
	mapPort(t, m.Ports, 0x500, 4, r)
	if err := m.CoalescePorts(0x500, 4, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	m.Start()
	if got := <-r.got; got.offset != 0 {
		t.Errorf("%+v", got)
	}
}

// counting expects stores of 0, 1, 2 and so on.
type counting struct{ next, wrong int }

func (c *counting) Read(uint64, []byte) {}

func (c *counting) Write(_ uint64, p []byte) {
	if int(p[0])|int(p[1])<<8 != c.next {
		c.wrong++
	}
	c.next++
	if c.next%7 == 0 {
		panic("a device that fails now and then")
	}
}

func TestUnclaimedReadsOnes(t *testing.T) {
	m := newMachine(t, 1,
		0xba, 0x34, 0x12, // mov dx, 0x1234: nobody's port
		0xed,       // in ax, dx
		0xe7, 0x10, // out 0x10, ax
		0xf4,
	)
	r := newRecorder(0)
	mapPort(t, m.Ports, 0x10, 2, r)
	m.Start()
	if got := <-r.got; got.data != "\xff\xff" {
		t.Errorf("unclaimed port reads %q", got.data)
	}
}

func TestPauseResumeStop(t *testing.T) {
	m := newMachine(t, 2, 0xe6, 0x10, 0xeb, 0xfc) // again: out 0x10, al; jmp again
	var n atomic.Uint64
	mapPort(t, m.Ports, 0x10, 1, countDevice{&n})
	m.Start()
	for range 200 {
		m.Pause()
		m.Pause()
		before := n.Load()
		m.Resume()
		if after := n.Load(); after != before {
			t.Fatal("the guest ran while paused")
		}
		m.Resume()
	}
	for n.Load() < 10 {
		m.Pause()
		m.Resume()
	}
	m.Stop()
	before := n.Load()
	m.Stop()
	if n.Load() != before {
		t.Error("the guest ran after Stop")
	}
}

type countDevice struct{ n *atomic.Uint64 }

func (c countDevice) Read(_ uint64, p []byte) {}
func (c countDevice) Write(uint64, []byte)    { c.n.Add(1) }

// TestKicksAreNotLost pauses a guest that never exits by itself from several goroutines at once: a kick that came at the wrong
// moment and was lost would hang the test.
func TestKicksAreNotLost(t *testing.T) {
	m := newMachine(t, 1, 0xeb, 0xfe) // jmp self
	m.Start()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				m.Pause()
				m.Resume()
			}
		})
	}
	wg.Wait()
}

// flat puts the boot processor into flat 32-bit mode with an empty IDT. (A paravirtual KVM emulates real mode and does not look at
// the IDT's limit there.)
func (m *machine) flat(t *testing.T, eip uint64) {
	t.Helper()
	bsp := m.VCPUs()[0].KVM()
	s, err := bsp.Sregs()
	if err != nil {
		t.Fatal(err)
	}
	flat := kvm.Segment{Limit: 0xffffffff, Selector: 0x10, Type: 3, Present: 1, DB: 1, S: 1, G: 1}
	s.DS, s.ES, s.SS = flat, flat, flat
	s.CS = flat
	s.CS.Selector, s.CS.Type = 8, 11
	s.CR0 |= 1
	s.IDT = kvm.DTable{}
	if err := bsp.SetSregs(s); err != nil {
		t.Fatal(err)
	}
	if err := bsp.SetRegs(kvm.Regs{RIP: eip, RFLAGS: 2}); err != nil {
		t.Fatal(err)
	}
}

func TestTripleFaultStops(t *testing.T) {
	m := newMachine(t, 1, 0x0f, 0x0b) // ud2
	m.flat(t, entry)
	m.Start()
	if s := <-m.stops; s.Err != nil || s.VCPU != 0 {
		t.Errorf("triple fault reported as %+v", s)
	}
}

// TestEmulationFailureIsExplained lets the guest jump to where there is no memory: KVM cannot fetch what it would have to emulate.
func TestEmulationFailureIsExplained(t *testing.T) {
	m := newMachine(t, 1, 0x0f, 0x0b)
	m.flat(t, 0xd0000000)
	m.Start()
	s := <-m.stops
	var e *vcpu.Error
	if !errors.As(s.Err, &e) || !errors.Is(s.Err, vcpu.ErrEmulation) {
		t.Fatalf("reported as %v", s.Err)
	}
	if !strings.Contains(e.State, "rip 00000000d0000000") || !strings.Contains(e.State, "code at rip: not mapped") {
		t.Errorf("the registers are told as:\n%s", e.State)
	}
}

// TestDevicePanicLeavesTheGuestRunning has a guest repeat an access that panics: it runs on, and must not fill the host's log.
func TestDevicePanicLeavesTheGuestRunning(t *testing.T) {
	for _, c := range []struct{ panics, least, most int32 }{{1, 1, 1}, {200, 2, 20}} {
		var lines lineCounter
		// mov cx, panics; again: out 0x50, al; loop again; out 0x10, al; hlt
		code := []byte{0xb9, byte(c.panics), 0, 0xe6, 0x50, 0xe2, 0xfc, 0xe6, 0x10, 0xf4}
		m := newLoggedMachine(t, slog.New(slog.NewTextHandler(&lines, nil)), 1, code...)
		mapPort(t, m.Ports, 0x50, 1, panicDevice{})
		r := newRecorder(0)
		mapPort(t, m.Ports, 0x10, 1, r)
		m.Start()
		<-r.got
		if n := lines.Load(); n < c.least || n > c.most {
			t.Errorf("%d panics made %d log lines, want %d to %d", c.panics, n, c.least, c.most)
		}
	}
}

// lineCounter counts the records that a slog.TextHandler writes.
type lineCounter struct{ atomic.Int32 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.Add(1)
	return len(p), nil
}

type panicDevice struct{}

func (panicDevice) Read(uint64, []byte)  { panic("read") }
func (panicDevice) Write(uint64, []byte) { panic("write") }

func TestDoorbellRingsInKernel(t *testing.T) {
	m := newMachine(t, 1, 0xb0, 0x07, 0xe6, 0x30, 0xb0, 0x08, 0xe6, 0x30, 0xf4) // out 0x30, 7; out 0x30, 8
	ev, err := event.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	seven := uint64(7)
	bell := bus.Doorbell{Addr: 0x30, Width: 1, Match: &seven, Event: ev}
	r := newRecorder(0)
	mapPort(t, m.Ports, 0x30, 1, r)
	if err := m.Ports.AddDoorbell(bell); err != nil {
		t.Fatal(err)
	}
	m.Start()
	if err := ev.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := <-r.got; got.data != "\x08" {
		t.Errorf("the device saw %q: the doorbell's write should have stayed in the kernel", got.data)
	}
	if err := m.Ports.RemoveDoorbell(bell); err != nil {
		t.Error(err)
	}
}

func TestMSI(t *testing.T) {
	m := newMachine(t, 1, 0xf4)
	var all []irq.MSI
	for {
		v, err := m.NewMSI()
		if errors.Is(err, vmm.ErrNoRoutes) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, v); len(all) > 4096 {
			t.Fatal("vectors never run out")
		}
		if len(all) > 600 {
			break
		}
	}
	v := all[0]
	msg := &irq.Message{Address: 0xfee00000, Data: 0x41}
	for range 3 {
		if err := v.SetMessage(msg); err != nil {
			t.Fatal(err)
		}
	}
	v.Fire()
	if err := v.SetMessage(nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v.Fire() // after Close: nothing, above all not into a file that has taken the number
	if err := v.SetMessage(msg); err == nil {
		t.Error("a closed vector took a message")
	}
	if _, err := m.NewMSI(); err != nil {
		t.Error("a vector that was given back is not handed out again:", err)
	}
}

func BenchmarkExit(b *testing.B) {
	m := newMachine(b, 1, 0xe6, 0x10, 0xeb, 0xfc)
	d := &benchDevice{n: int64(b.N), done: make(chan struct{})}
	mapPort(b, m.Ports, 0x10, 1, d)
	b.ReportAllocs()
	b.ResetTimer()
	m.Start()
	<-d.done
}

type benchDevice struct {
	n    int64
	done chan struct{}
}

func (d *benchDevice) Read(uint64, []byte) {}
func (d *benchDevice) Write(uint64, []byte) {
	if d.n--; d.n == 0 {
		close(d.done)
	}
}
