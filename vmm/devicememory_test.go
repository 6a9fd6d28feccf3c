package vmm_test

import (
	"math/bits"
	"testing"
	"time"

	"github.com/sharevm/vmm/vmm"
	"golang.org/x/sys/unix"
)

// TestDeviceMemory has a guest write to a device's memory: it is seen in the host without an exit, and in the log only while that is on.
func TestDeviceMemory(t *testing.T) {
	const base, other, size = 0x40000, 0x50000, 16 * 4096
	m := newConfiguredMachine(t, vmm.Config{Holes: []vmm.Range{{Base: base, Size: other + size - base}}}, 1,
		0xb8, 0x00, 0x40, // mov ax, 0x4000
		0x8e, 0xd8, // mov ds, ax
		0xa0, 0x00, 0x50, // mov al, [0x5000]
		0xe6, 0x10, // out 0x10, al: what it reads
		0xc6, 0x06, 0x00, 0x50, 0x77, // mov byte [0x5000], 0x77
		0xe6, 0x11, // out 0x11, al: the test may look
		0xeb, 0xf2, // jmp to the load
	)
	steps := newStepper()
	mapPort(t, m.Ports, 0x10, 2, steps)
	host, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(host) })
	mem, err := m.NewDeviceMemory(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := mem.Place(0); err == nil {
		t.Fatal("placed over RAM")
	}
	if err := mem.Place(base + 1); err == nil {
		t.Fatal("placed at half a page")
	}
	if err := mem.Place(base); err != nil {
		t.Fatal(err)
	}
	var bitmap [1]uint64
	dirty := func(want int) {
		t.Helper()
		if err := mem.Dirty(bitmap[:]); err != nil {
			t.Fatal(err)
		}
		if n := bits.OnesCount64(bitmap[0] & 0xffff); n != want {
			t.Errorf("%d pages of 16 are dirty, want %d", n, want)
		}
	}
	dirty(16)
	dirty(16) // without a log nobody knows
	if err := mem.LogDirty(true); err != nil {
		t.Fatal(err)
	}
	dirty(16)
	dirty(0)
	host[0x5000] = 0x12
	m.Start()
	for round := range 3 {
		read := steps.next()
		host[0x5000] = 0
		if want := [3]byte{0x12, 0, 0}[round]; read != want {
			t.Errorf("round %d: the guest reads %#x, want %#x", round, read, want)
		}
		steps.next()
		if host[0x5000] != 0x77 {
			t.Error("the guest's write has not arrived")
		}
		host[0x5000] = 0
		dirty(1)
		if bitmap[0]&(1<<5) == 0 {
			t.Errorf("bitmap %#x", bitmap[0])
		}
	}
	if err := mem.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Place(other); err != nil {
		t.Fatal(err)
	}
	dirty(16)
	dirty(0)
	if err := mem.LogDirty(false); err != nil || mem.Logging() {
		t.Fatal("still logging", err)
	}
	dirty(16)
	go func() { // the guest may be on its way to the next write
		for range steps.at {
		}
	}()
	close(steps.goOn)
	if _, err := m.NewDeviceMemory(host[:100]); err == nil {
		t.Error("took half a page")
	}
	if err := mem.Dirty(nil); err == nil {
		t.Error("took a bitmap that is too short")
	}
}

// stepper holds the guest at each write until the test has taken it and let the last one go.
type stepper struct {
	at   chan byte
	goOn chan struct{}
	held bool
}

func newStepper() *stepper { return &stepper{at: make(chan byte), goOn: make(chan struct{})} }

func (s *stepper) Read(_ uint64, p []byte) { clear(p) }
func (s *stepper) Write(_ uint64, p []byte) {
	s.at <- p[0]
	<-s.goOn
}

// next lets the guest run to its next write.
func (s *stepper) next() byte {
	if s.held {
		s.goOn <- struct{}{}
	}
	s.held = true
	return <-s.at
}

// BenchmarkDirtyLog has a guest write to each of 128 pages, and reads the log of them: the time of the latter is reported for each page.
func BenchmarkDirtyLog(b *testing.B) {
	const base, pages = 0x10000, 128
	m := newConfiguredMachine(b, vmm.Config{Holes: []vmm.Range{{Base: base, Size: pages * 4096}}}, 1,
		0xb9, pages, 0x00, // mov cx, 128
		0xb8, 0x00, 0x10, // mov ax, 0x1000
		0x8e, 0xd8, // mov ds, ax
		0xa2, 0x00, 0x00, // mov [0], al
		0x05, 0x00, 0x01, // add ax, 0x100
		0xe2, 0xf6, // loop to the load of ds
		0xe6, 0x10, // out 0x10, al
		0xeb, 0xec, // jmp to the start
	)
	host, err := unix.Mmap(-1, 0, pages*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Munmap(host) })
	mem, err := m.NewDeviceMemory(host)
	if err != nil {
		b.Fatal(err)
	}
	if err := mem.LogDirty(true); err != nil {
		b.Fatal(err)
	}
	if err := mem.Place(base); err != nil {
		b.Fatal(err)
	}
	steps := newStepper()
	mapPort(b, m.Ports, 0x10, 1, steps)
	m.Start()
	var bitmap [pages / 64]uint64
	var total time.Duration
	for b.Loop() {
		steps.next()
		begin := time.Now()
		if err := mem.Dirty(bitmap[:]); err != nil {
			b.Fatal(err)
		}
		total += time.Since(begin)
		if bitmap != [...]uint64{^uint64(0), ^uint64(0)} {
			b.Fatalf("not every page is dirty: %x", bitmap)
		}
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N)/pages, "ns/page")
	go func() {
		for range steps.at {
		}
	}()
	close(steps.goOn)
}
