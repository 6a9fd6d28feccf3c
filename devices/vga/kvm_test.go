package vga

import (
	"image"
	"os"
	"slices"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// TestDamageOnKVM has a guest of a few instructions write to video memory on /dev/kvm: damage is the line that it wrote to and nothing else, and the log is on
// only while somebody looks.
func TestDamageOnKVM(t *testing.T) {
	const base = 0x40000 // below 1 MiB, where real mode reaches it
	sys, err := kvm.Open("")
	if err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no payload tests:", err)
	}
	defer sys.Close()
	ram, err := memory.New(memory.Config{Size: 2 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: memory.Anonymous})
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	vm, err := vmm.New(vmm.Config{
		System: sys, Memory: ram, Holes: []vmm.Range{{Base: base, Size: MinVRAM}}, RealModePages: 0xfeffc000,
		CPU: cpuid.Policy{Topology: cpuid.Topology{CPUs: 1, CoresPerSocket: 1}}, OnStop: func(vcpu.Stop) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	mem, err := display.NewMemory("vram", MinVRAM)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Release()
	guest, err := vm.NewDeviceMemory(mem.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	surface := display.NewSurface()
	d, err := New(Config{Surface: surface, Memory: mem, Guest: guest})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := guest.Place(base); err != nil {
		t.Fatal(err)
	}
	c := &card{Device: d, t: t, surface: surface, ports: vm.Ports}
	for _, p := range d.Ports() {
		if err := vm.Ports.Map(p.Base, p.Size, p.Device); err != nil {
			t.Fatal(err)
		}
	}
	wrote := make(signal)
	if err := vm.Ports.Map(0x10, 1, wrote); err != nil {
		t.Fatal(err)
	}
	c.vbe(256, 256, 32) // a line is a quarter of a page
	if guest.Logging() {
		t.Error("a log for nobody")
	}
	v := surface.NewViewer()
	if v.Update(); !guest.Logging() {
		t.Error("no log for a viewer")
	}
	v.Update()
	if err := ram.Write(0x1000, []byte{
		0xb8, base >> 4 & 0xff, base >> 12, // mov ax, segment of video memory
		0x8e, 0xd8, // mov ds, ax
		0xc6, 0x06, 0x00, 0x54, 0x77, // mov byte [0x5400], 0x77: line 21
		0xe6, 0x10, // out 0x10, al
		0xf4, // hlt
	}); err != nil {
		t.Fatal(err)
	}
	bsp := vm.VCPUs()[0].KVM()
	s, err := bsp.Sregs()
	if err != nil {
		t.Fatal(err)
	}
	s.CS.Base, s.CS.Selector = 0, 0
	if err := bsp.SetSregs(s); err != nil {
		t.Fatal(err)
	}
	if err := bsp.SetRegs(kvm.Regs{RIP: 0x1000, RFLAGS: 2, RSP: 0x8000}); err != nil {
		t.Fatal(err)
	}
	vm.Start()
	<-wrote
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, 20, 256, 24)}) || u.Frame.Line(21)[0] != 0x77 {
		t.Errorf("damage %v; the guest wrote to line 21, whose page holds 20 to 23", u.Damage)
	}
	if u := v.Update(); len(u.Damage) != 0 {
		t.Errorf("damage %v of nothing", u.Damage)
	}
	v.Close()
	if guest.Logging() {
		t.Error("the log goes on when nobody looks")
	}
}

// signal is a device that tells of a write.
type signal chan struct{}

func (s signal) Read(_ uint64, p []byte)  { clear(p) }
func (s signal) Write(_ uint64, _ []byte) { close(s) }
