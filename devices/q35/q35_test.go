package q35

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// chipset is a board of nothing but the chipset and a card at 00:03.0.
type chipset struct {
	t       testing.TB
	root    *pci.Root
	lpc     *LPC
	card    *pci.Function
	mem, io *bus.Bus
	apic    [PIRQs]bool
	pic     [16]bool
}

const (
	ecamBase = 0xB000_0000
	pmBase   = 0x600
)

// pm answers as the PM block.
type pm struct{}

func (pm) Read(off uint64, p []byte) {
	for i := range p {
		p[i] = 0x50 + uint8(off) + uint8(i)
	}
}
func (pm) Write(uint64, []byte) {}

func newChipset(t testing.TB) *chipset {
	t.Helper()
	c := &chipset{t: t, mem: bus.New("memory", nil), io: bus.New("port", nil)}
	level := func(v *bool) irq.Line {
		return irq.LineFunc(func(high bool) {
			if *v == high {
				t.Errorf("a line is told %v twice", high)
			}
			*v = high
		})
	}
	var apic [PIRQs]irq.Line
	for i := range apic {
		apic[i] = level(&c.apic[i])
	}
	router := NewRouter(apic, func(n int) irq.Line { return level(&c.pic[n]) })
	host, err := NewHostBridge(HostBridgeConfig{
		LowRAM: 2 << 30, HighRAM: 1 << 30, ECAM: ecamBase,
		Place: func(base uint64, buses int) error { return c.root.PlaceECAM(base, buses) },
	})
	if err == nil {
		c.root, err = pci.NewRoot(pci.Config{Memory: c.mem, IO: c.io, Buses: 256, Lines: router.Lines(), Route: func(pci.Address, uint8) int { return 4 }}, host)
	}
	if err == nil {
		err = c.root.PlaceECAM(ecamBase, 256)
	}
	if err == nil {
		err = c.io.Map(pci.PortBase, pci.PortSize, c.root.Ports())
	}
	if err == nil {
		c.lpc, err = NewLPC(LPCConfig{IO: c.io, Memory: c.mem, PM: pm{}, PMBase: pmBase, PMSize: 0x80, Router: router})
	}
	if err == nil {
		err = c.root.Plug(pci.Address{Device: 31}, c.lpc.Function())
	}
	if err == nil {
		c.card = pci.NewFunction("card", pci.Identity{Vendor: 1})
		c.card.UseINTx(2)
		err = c.root.Plug(pci.Address{Device: 3}, c.card)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// config reads or writes by the ports, which do not move.
func (c *chipset) latch(device, off int) {
	c.io.Write(pci.PortBase, binary.LittleEndian.AppendUint32(nil, 1<<31|uint32(device)<<11|uint32(off&^3)))
}

func (c *chipset) get(device, off, width int) uint64 {
	c.latch(device, off)
	var b [8]byte
	c.io.Read(pci.PortBase+4+uint64(off&3), b[:width])
	return binary.LittleEndian.Uint64(b[:])
}

func (c *chipset) set(device, off, width int, v uint64) {
	c.latch(device, off)
	c.io.Write(pci.PortBase+4+uint64(off&3), binary.LittleEndian.AppendUint64(nil, v)[:width])
}

func (c *chipset) load(addr uint64) uint64 {
	b := make([]byte, 4)
	c.mem.Read(addr, b)
	return uint64(binary.LittleEndian.Uint32(b))
}

func (c *chipset) want(what string, got, want uint64) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s is %#x, want %#x", what, got, want)
	}
}

func TestHostBridge(t *testing.T) {
	c := newChipset(t)
	c.want("identity", c.get(0, 0, 4), 0x29c08086)
	c.want("PAM0", c.get(0, 0x90, 1), 0)
	for i := range 7 {
		c.set(0, 0x90+i, 1, 0xFF)
	}
	c.want("PAM", c.get(0, 0x90, 4), 0x33333330)
	c.want("the end of low RAM", c.get(0, 0xB0, 2), 0x800<<4)
	c.want("all RAM", c.get(0, 0xA0, 2), 3<<30>>26)
	c.want("the end of high RAM", c.get(0, 0xA2, 2), 5<<10)
	c.want("SMRAM is locked", c.get(0, 0x9D, 1)&0x10, 0x10)
}

func TestConfigurationSpaceMoves(t *testing.T) {
	c := newChipset(t)
	c.want("at power-on", c.load(ecamBase), 0x29c08086)
	c.set(0, 0x64, 4, 0)
	c.set(0, 0x60, 4, 0xE000_0001)
	c.want("where it was", c.load(ecamBase), 0xFFFFFFFF)
	c.want("where it is", c.load(0xE000_0000), 0x29c08086)
	c.set(0, 0x60, 4, 0xE400_0005) // 64 buses
	c.want("with fewer buses", c.load(0xE400_0000), 0x29c08086)
	if _, buses := c.root.ECAMPlace(); buses != 64 {
		t.Errorf("%d buses", buses)
	}
	c.set(0, 0x60, 4, 0xE000_0000)
	c.want("off", c.load(0xE000_0000), 0xFFFFFFFF)
	c.root.Reset()
	c.want("after a reset", c.load(ecamBase), 0x29c08086)
	c.want("bits that do not exist", func() uint64 { c.set(0, 0x60, 4, 0x3FFFFF8); return c.get(0, 0x60, 4) }(), 0)
}

func TestPowerManagementMoves(t *testing.T) {
	c := newChipset(t)
	port := func(at uint64) uint64 {
		b := make([]byte, 1)
		c.io.Read(at, b)
		return uint64(b[0])
	}
	c.want("at power-on", port(0x602), 0x52)
	c.want("PMBASE", c.get(31, 0x40, 4), 0x601)
	c.set(31, 0x40, 4, 0xB000)
	c.want("where it was", port(0x602), 0xFF)
	c.want("where it is", port(0xB002), 0x52)
	c.set(31, 0x40, 4, pci.PortBase&^0x7F) // onto configuration mechanism 1
	c.want("nowhere", port(0xB002), 0xFF)
	c.set(31, 0x40, 4, 0x600)
	c.set(31, 0x44, 1, 0)
	c.want("off", port(0x602), 0xFF)
	c.set(31, 0x44, 1, 0x80)
	c.want("on", port(0x602), 0x52)
}

// EFI firmware turns decoding off and on again as for any device, and looks for serial ports and a keyboard only behind a bridge where it is on.
func TestDecoding(t *testing.T) {
	c := newChipset(t)
	c.want("the command register at power-on", c.get(31, 4, 2), 7)
	c.set(31, 4, 2, 0)
	c.want("off", c.get(31, 4, 2), 0)
	c.set(31, 4, 2, 7)
	c.want("on again", c.get(31, 4, 2), 7)
	c.set(31, 4, 2, 0)
	c.root.Reset()
	c.want("after a reset", c.get(31, 4, 2), 7)
}

func TestChipsetRegisters(t *testing.T) {
	c := newChipset(t)
	c.set(31, 0xF0, 4, 0xFED1C001)
	c.want("watchdog", c.load(0xFED1C000+0x3410), noReboot)
	c.want("another", c.load(0xFED1C000+0x3100), 0)
	c.set(31, 0xF0, 4, 0)
	c.want("off", c.load(0xFED1C000+0x3410), 0xFFFFFFFF)
}

func TestRouting(t *testing.T) {
	c := newChipset(t)
	const line = 4
	c.card.SetINTx(true)
	if !c.apic[line] || slices.Contains(c.pic[:], true) {
		t.Fatalf("IOAPIC %v, PIC %v", c.apic, c.pic)
	}
	c.set(31, 0x68, 1, 10)
	if !c.pic[10] {
		t.Error("a pin that is high does not arrive when it is routed")
	}
	c.set(31, 0x68, 1, 11)
	if c.pic[10] || !c.pic[11] {
		t.Error("a pin that is high does not follow its route")
	}
	c.card.SetINTx(false)
	if c.pic[11] || c.apic[line] {
		t.Error("the pin stays high")
	}
	c.set(31, 0x68, 1, 8) // reserved
	c.card.SetINTx(true)
	c.set(31, 0x68, 1, 0x8B)
	if slices.Contains(c.pic[:], true) {
		t.Errorf("PIC %v", c.pic)
	}
	c.set(31, 0x68, 1, 5)
	c.root.Reset()
	if slices.Contains(c.pic[:], true) || !c.apic[line] {
		t.Errorf("after a reset: IOAPIC %v, PIC %v", c.apic, c.pic)
	}
}

func TestSnapshot(t *testing.T) {
	c := newChipset(t)
	c.set(0, 0x60, 4, 0xE000_0001)
	c.set(31, 0x40, 4, 0xB000)
	c.set(31, 0x69, 1, 10)
	var q *chipset
	fresh := func() state.Device { q = newChipset(t); return q.lpc }
	statetest.Cycle(t, c.lpc, fresh)
	q.want("PMBASE", q.get(31, 0x40, 4), 0xB001)
	b := []byte{0}
	q.io.Read(0xB000, b)
	q.want("the PM block", uint64(b[0]), 0x50)
	statetest.Cycle(t, c.root, func() state.Device { q = newChipset(t); return q.root })
	q.want("configuration space", q.load(0xE000_0000), 0x29c08086)
}

// FuzzChipset writes configuration space of both bridges anyhow, with pins that change and snapshots in between.
func FuzzChipset(f *testing.F) {
	f.Add([]byte{0, 0x60, 1, 0, 0x63, 0xE0, 1, 0x68, 10, 2, 0, 1, 3, 0, 0, 1, 0x68, 0x80, 2, 0, 0})
	f.Add([]byte{1, 0x40, 0x80, 1, 0x41, 0x0C, 1, 0xF0, 1, 1, 0xF3, 0xFE, 4, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		c := newChipset(t)
		for ; len(ops) >= 3; ops = ops[3:] {
			switch off, v := int(ops[1]), uint64(ops[2]); ops[0] % 5 {
			case 0:
				c.set(0, off, 1, v)
			case 1:
				c.set(31, off, 1, v)
			case 2:
				c.card.SetINTx(v&1 != 0)
			case 3:
				var host, lpc, card state.Writer
				c.root.Save(&host)
				c.lpc.Save(&lpc)
				c.card.Save(&card)
				q := newChipset(t)
				for dev, w := range map[interface{ Restore(*state.Reader) error }]*state.Writer{q.root: &host, q.lpc: &lpc, q.card: &card} {
					if err := dev.Restore(state.NewReader(w.Data())); err != nil {
						t.Fatal(err)
					}
				}
				if q.apic != c.apic || q.pic != c.pic {
					t.Fatalf("interrupts: %v %v became %v %v", c.apic, c.pic, q.apic, q.pic)
				}
				c = q
			case 4:
				c.root.Reset()
			}
		}
	})
}
