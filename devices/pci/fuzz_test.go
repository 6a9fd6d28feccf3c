package pci

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
)

// FuzzConfigSpace does arbitrary accesses to ECAM, the ports and whatever BARs decode, with snapshots in between. Each step of 14
// bytes is: what to do, a width, an address and a value. After each the buses hold exactly what the registers say.
func FuzzConfigSpace(f *testing.F) {
	step := func(what, width uint8, addr uint32, v uint64) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{what, width}, addr)
		return binary.LittleEndian.AppendUint64(b, v)
	}
	join := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	f.Add(join(step(0, 3, 1<<15+0x10, 0xc0000000), step(0, 1, 1<<15+4, 7), step(3, 3, 0xc0000100, 1), step(4, 0, 0, 0)))
	f.Add(join(step(0, 3, 1<<15+0x10, 0xc0000000), step(0, 1, 1<<15+4, 7), step(0, 3, 2<<15+0x10, 0xc0000000), step(0, 1, 2<<15+4, 7),
		step(0, 3, 1<<15+0x10, 0xd0000000), step(4, 0, 0, 0)))
	f.Add(join(step(0, 7, 2<<15+0x18, ^uint64(0)), step(0, 1, 2<<15+4, 7), step(0, 7, 2<<15+0x18, ecamBase)))
	f.Add(join(step(2, 3, 0, 0x80000810), step(2, 3, 4, 0xffffffff), step(2, 7, 0, ^uint64(0)), step(2, 4, 2, 0x1234567)))
	f.Add(join(step(0, 1, 1<<15+0x42, 0x8000), step(0, 1, 1<<15+4, 2), step(0, 3, 1<<15+0x10, 0xc0000000), step(3, 3, 0xc000010c, 0),
		step(5, 0, 0, 0), step(0, 1, 1<<15+0x42, 0xc000), step(5, 0, 0, 0), step(4, 0, 0, 0), step(6, 0, 0, 0)))
	f.Add(join(step(0, 3, 1<<15+0x10, 0xc0000000), step(1, 4, 1<<15+4, 7), step(3, 3, 0xc0000080, 1))) // a doorbell
	f.Add(join(step(0, 3, 3<<15+0x18, 0x010100), step(0, 3, 3<<15+0x20, 0xc010c000), step(0, 1, 3<<15+4, 7), step(0, 3, 1<<20+5<<15+0x10, 0xc0100000),
		step(0, 1, 1<<20+5<<15+4, 3), step(3, 3, 0xc0100020, 1), step(4, 0, 0, 0), step(0, 0, 3<<15+0x3e, 0x40))) // behind the bridge
	f.Fuzz(func(t *testing.T, steps []byte) {
		m := newFuzzMachine(t)
		for n := 0; len(steps) >= 14 && n < 100; n++ {
			width, addr, v := int(steps[1]%8)+1, uint64(binary.LittleEndian.Uint32(steps[2:])), binary.LittleEndian.Uint64(steps[6:])
			switch steps[0] % 7 {
			case 0:
				store(m.mem, ecamBase+addr%(2<<20), width, v)
			case 1:
				load(m.mem, ecamBase+addr%(2<<20), width)
			case 2:
				store(m.io, PortBase+addr%PortSize, width, v)
				load(m.io, PortBase+addr%PortSize, width)
			case 3:
				store(m.mem, addr, width, v)
				load(m.mem, addr, width)
			case 4:
				m.snapshot(t)
			case 5:
				m.msix.Fire(int(v % 4))
				m.msi.Fire(int(v % 4))
				m.functions[1<<3].SetINTx(v&8 != 0)
				m.deep.SetINTx(v&16 != 0)
			case 6:
				m.Reset()
			}
			m.check(t)
			steps = steps[14:]
		}
	})
}

type fuzzMachine struct {
	*board
	msix *MSIX
	msi  *MSI
	// deep is behind bridge.
	bridge Bridge
	deep   *Function
}

func newFuzzMachine(t *testing.T) *fuzzMachine {
	bell, err := event.New() // rung by stores that the binder did not take
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bell.Close() })
	one := withBAR(t, 0, Mem32, 0x1000, newScratch(0x1000), bus.Doorbell{Addr: 0x80, Event: bell}, bus.Doorbell{Addr: 0x84, Event: bell})
	msix, err := one.AddMSIX(quiet{}, 3, 0, tableAt, pbaAt)
	if err != nil {
		t.Fatal(err)
	}
	one.UseINTx(1)
	two := withBAR(t, 0, Mem32, 0x2000, newScratch(0x2000))
	for index, kind := range map[int]BARKind{2: Mem64, 5: IO} {
		if err := two.AddBAR(index, kind, 0x100, newScratch(0x100), bus.Doorbell{Addr: 0x10, Event: bell}); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.AddExpress(IntegratedEndpoint, func() {}); err != nil {
		t.Fatal(err)
	}
	msi, err := two.AddMSI(quiet{}, 4, MSI64|MSIMaskable)
	if err != nil {
		t.Fatal(err)
	}
	m := &fuzzMachine{board: newBoard(t, one, two), msix: msix, msi: msi}
	m.bridge = NewBridge("bridge", testIdentity)
	if err := m.Plug(Address{Device: 3}, m.bridge.Function); err != nil {
		t.Fatal(err)
	}
	m.deep = withBAR(t, 0, Mem32, 0x1000, newScratch(0x1000), bus.Doorbell{Addr: 0x20, Event: bell})
	if err := m.deep.AddBAR(1, IO, 0x40, newScratch(0x40)); err != nil {
		t.Fatal(err)
	}
	m.deep.UseINTx(2)
	if err := m.PlugBehind(m.bridge, Address{Device: 5}, m.deep); err != nil {
		t.Fatal(err)
	}
	m.mem = nil // rebuilt with separate binders, since ports and memory may have the same numbers
	m.cfg.Memory, m.cfg.IO = bus.New("memory", m.bound), bus.New("port", nil)
	m.mem, m.io = m.cfg.Memory, m.cfg.IO
	ecam, size := m.ECAM()
	if err := m.mem.Map(ecamBase, size, ecam); err != nil {
		t.Fatal(err)
	}
	if err := m.io.Map(PortBase, PortSize, m.Ports()); err != nil {
		t.Fatal(err)
	}
	return m
}

// snapshot saves everything and restores it in place, in another order, so that BARs come back while others are elsewhere.
func (m *fuzzMachine) snapshot(t *testing.T) {
	var saved [5]state.Writer
	m.Save(&saved[0])
	m.functions[1<<3].Save(&saved[1])
	m.functions[2<<3].Save(&saved[2])
	m.bridge.Save(&saved[3])
	m.deep.Save(&saved[4])
	m.Reset()
	m.check(t)
	for i, restore := range []func(*state.Reader) error{m.Restore, m.functions[1<<3].Restore, m.functions[2<<3].Restore, m.bridge.Restore, m.deep.Restore} {
		r := state.NewReader(saved[i].Data())
		if err := restore(r); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range []int{1 << 3, 2 << 3} {
		var again state.Writer
		m.functions[f].Save(&again)
		if string(again.Data()) != string(saved[i+1].Data()) {
			t.Fatalf("function %d saves another state after Restore", i+1)
		}
	}
}

// check holds that a BAR is mapped where its registers say, unless something else is there, and doorbells with it.
func (m *fuzzMachine) check(t *testing.T) {
	t.Helper()
	doorbells := 0
	m.each(func(f *Function) {
		for i, b := range f.bars {
			if b == nil {
				continue
			}
			base, on := f.address(i)
			space := m.space(b.kind)
			if b.mapped && (!on || base != b.base) {
				t.Fatalf("%s: BAR %d is mapped at %#x, its registers say %#x, %v", f.addr, i, b.base, base, on)
			}
			if on && !b.mapped && space.Map(base, b.size, zeroes{}) == nil {
				t.Fatalf("%s: BAR %d is not mapped at %#x, which is free", f.addr, i, base)
			}
			if space == m.mem {
				doorbells += len(b.bound)
			}
			if b.mapped && len(b.bound) != len(b.bells) {
				t.Fatalf("%s: BAR %d has %d of %d doorbells", f.addr, i, len(b.bound), len(b.bells))
			}
		}
	})
	if doorbells != len(m.bound) {
		t.Fatalf("%d doorbells are bound, %d known", len(m.bound), doorbells)
	}
}

// quiet is an irq.MSIAllocator whose messages go nowhere.
type quiet struct{}

func (quiet) NewMSI() (irq.MSI, error)      { return quiet{}, nil }
func (quiet) SetMessage(*irq.Message) error { return nil }
func (quiet) Fire()                         {}
func (quiet) Close() error                  { return nil }
