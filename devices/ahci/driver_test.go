package ahci

import (
	"encoding/binary"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Where the driver keeps its structures in guest memory.
const (
	ramSize   = 4 << 20
	lists     = 0x1000  // one page for each port
	frames    = 0x20000 // one page for each port
	tables    = 0x40000 // tableSize for each slot of port 0
	tableSize = 0x2000
	buffers   = 0x100000
)

// driver is a guest's driver of an adapter.
type driver struct {
	t    testing.TB
	k    *Controller
	regs bus.Device
	ram  []byte
	line *atatest.Line
	msi  *messages
	word [4]byte
}

// messages is an irq.MSIAllocator that counts.
type messages struct{ fired chan struct{} }

func (m *messages) NewMSI() (irq.MSI, error)      { return m, nil }
func (m *messages) SetMessage(*irq.Message) error { return nil }
func (m *messages) Fire()                         { m.fired <- struct{}{} }
func (m *messages) Close() error                  { return nil }

// newController plugs an adapter into a machine around it.
func newController(t testing.TB, ram []byte, line irq.Line, msi irq.MSIAllocator, drives ...ata.Device) *Controller {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: ram})
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{Name: "sata0", Memory: mem, MSI: msi, Drives: drives})
	if err != nil {
		t.Fatal(err)
	}
	root, err := pci.NewRoot(pci.Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1, Lines: []irq.Line{line}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 3}, k.Function()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func newDisk(t testing.TB, c ata.DiskConfig) *ata.Disk {
	t.Helper()
	c.SATA = true
	d, err := ata.NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newDriver returns a driver of an adapter with interrupts and all ports started.
func newDriver(t testing.TB, drives ...ata.Device) *driver {
	t.Helper()
	d := &driver{t: t, ram: make([]byte, ramSize), line: atatest.NewLine(), msi: &messages{make(chan struct{}, 1000)}}
	d.use(newController(t, d.ram, d.line, d.msi, drives...))
	d.set(hostControl, controlEnable|controlInterrupt)
	for i := range drives {
		d.start(i)
	}
	return d
}

func (d *driver) use(k *Controller) { d.k, d.regs = k, registers{k} }

func (d *driver) get(off int) uint32 {
	d.regs.Read(uint64(off), d.word[:])
	return binary.LittleEndian.Uint32(d.word[:])
}

func (d *driver) set(off int, v uint32) {
	binary.LittleEndian.PutUint32(d.word[:], v)
	d.regs.Write(uint64(off), d.word[:])
}

func at(port, reg int) int { return portsAt + port*portSize + reg }

func (d *driver) start(i int) {
	d.set(at(i, portCommandList), uint32(lists+i<<12))
	d.set(at(i, portFIS), uint32(frames+i<<12))
	d.set(at(i, portError), ^uint32(0))
	d.set(at(i, portStatus), ^uint32(0))
	d.set(at(i, portCommand), cmdReceive|cmdStart)
	d.set(at(i, portEnable), intAll)
}

// stop clears ST and waits until nothing is under way.
func (d *driver) stop(i int) {
	d.set(at(i, portCommand), cmdReceive)
	for d.get(at(i, portCommand))&cmdRunning != 0 {
		yield()
	}
}

// piece is a piece of guest memory.
type piece struct{ addr, n int }

// request is a command.
type request struct {
	op       uint8
	features uint16
	count    uint16
	lba      uint64
	device   uint8
	packet   []byte
	control  bool // a control frame, with device in its control byte
	data     []piece
}

// fill writes a command into a slot.
func (d *driver) fill(slot int, r request) {
	le := binary.LittleEndian
	h := d.ram[lists+slot*headerSize:][:headerSize]
	clear(h)
	table := tables + slot*tableSize
	flags := uint32(fisLength/4) | uint32(len(r.data))<<16
	f := d.ram[table:][:tablePRDT]
	clear(f)
	f[0], f[2], f[3], f[7], f[11] = fisToDevice, r.op, byte(r.features), r.device, byte(r.features>>8)
	if !r.control {
		f[1] = fisCommand
	} else {
		f[15] = r.device
	}
	var lba [8]byte
	le.PutUint64(lba[:], r.lba)
	copy(f[4:7], lba[:3])
	copy(f[8:11], lba[3:6])
	le.PutUint16(f[12:], r.count)
	if r.packet != nil {
		flags |= headerPacket
		copy(f[tablePacket:], r.packet)
	}
	le.PutUint32(h[0:], flags)
	le.PutUint64(h[8:], uint64(table))
	for i, p := range r.data {
		e := d.ram[table+tablePRDT+i*prdSize:]
		le.PutUint64(e, uint64(p.addr))
		le.PutUint32(e[12:], uint32(p.n-1))
	}
}

// issue fills a slot of port 0 and hands it over.
func (d *driver) issue(slot int, r request) {
	d.fill(slot, r)
	if r.op == 0x60 || r.op == 0x61 {
		d.set(at(0, portActive), 1<<slot)
	}
	d.set(at(0, portIssue), 1<<slot)
}

// interrupt waits for one and returns what port 0 has to tell.
func (d *driver) interrupt() uint32 {
	d.line.Wait()
	s := d.get(at(0, portStatus))
	d.set(at(0, portStatus), s)
	d.set(hostStatus, d.get(hostStatus))
	return s
}

// do carries out a command that is not queued, in slot 0, and returns PxTFD.
func (d *driver) do(r request) uint32 {
	d.t.Helper()
	d.issue(0, r)
	return d.await()
}

func (d *driver) await() uint32 {
	for {
		s := d.interrupt()
		if s&intTaskFile != 0 || d.get(at(0, portIssue)) == 0 {
			return d.get(at(0, portTask))
		}
	}
}

// queued returns a queued request for n sectors.
func queued(op uint8, slot int, lba uint64, n int, data ...piece) request {
	return request{op: op, features: uint16(n), count: uint16(slot << 3), lba: lba, device: 0x40, data: data}
}
