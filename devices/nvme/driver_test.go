package nvme_test

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/devices/nvme"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/memory/shared"
	"github.com/sharevm/vmm/vmm/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	page     = 4096
	ramSize  = 8 << 20
	ecamBase = 0xb000_0000
	barBase  = 0xc000_0000
	// patience bounds every wait: reaching it is a failure of the controller, never a result.
	patience = 20 * time.Second
)

// Registers and their bits.
const (
	regCAP, regVS, regINTMS, regINTMC, regCC, regCSTS, regNSSR, regAQA, regASQ, regACQ = 0, 8, 0xc, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x30

	ready, fatal = 1, 2
	enableBits   = 1 | 6<<16 | 4<<20
)

// Opcodes.
const (
	deleteSQ, createSQ, getLog, deleteCQ, createCQ, identify, abort, setFeatures, getFeatures, asyncEvent, doorbellBuffer = 0, 1, 2, 4, 5, 6, 8, 9, 0xa, 0xc, 0x7c
	flush, write, read, writeZeroes, dataset                                                                              = 0, 1, 2, 8, 9
)

// driver is a guest's driver of one controller.
type driver struct {
	t          testing.TB
	dev        *nvme.Controller
	mem        *memory.Guest
	mmio       *bus.Bus
	kernel     *kernel
	interrupts *virtiotest.Interrupts // nil: the driver uses the pin
	pin        atomic.Bool
	pinned     chan struct{} // receives when the pin has become high
	next       uint64        // free RAM
	admin      *pair
	word       [8]byte
}

// kernel is the bus.Binder that answers doorbells in a kernel's stead.
type kernel struct{ bells map[uint64]*event.Event }

func (k *kernel) BindDoorbell(d bus.Doorbell) error {
	k.bells[d.Addr] = d.Event
	return nil
}

func (k *kernel) UnbindDoorbell(d bus.Doorbell) error {
	delete(k.bells, d.Addr)
	return nil
}

// command is a submission queue entry in dwords.
type command [16]uint32

func cmd(opcode uint8, namespace uint32, prp1, prp2 uint64, dw ...uint32) (c command) {
	c[0], c[1] = uint32(opcode), namespace
	c[6], c[7], c[8], c[9] = uint32(prp1), uint32(prp1>>32), uint32(prp2), uint32(prp2>>32)
	copy(c[10:], dw)
	return c
}

// answer is a completion.
type answer struct {
	result uint32
	head   uint16
	id     uint16
	status uint16 // without phase and Do Not Retry
}

// pair is a submission queue with a completion queue.
type pair struct {
	d            *driver
	id           int
	sq, cq       uint64
	size, cqSize int
	tail, head   int
	phase        uint32
	id16         uint16
}

func newRAM(t testing.TB) *memory.Guest {
	host, err := unix.Mmap(-1, 0, ramSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(host); err != nil {
			t.Error(err)
		}
	})
	mem, err := memory.FromRegions(memory.Region{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// fresh returns a controller and the function that makes others in its place.
func fresh(t testing.TB, mem *memory.Guest, msi irq.MSIAllocator, c nvme.Config) *nvme.Controller {
	c.Name, c.Memory, c.MSI = "nvme0", mem, msi
	dev, err := nvme.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

// newDriver plugs a controller into a fresh machine and finds it.
func newDriver(t testing.TB, c nvme.Config, pin bool) *driver {
	t.Helper()
	d := &driver{t: t, mem: newRAM(t), next: page, pinned: make(chan struct{}, 1)}
	if !pin {
		d.interrupts = virtiotest.NewInterrupts()
	}
	d.attach(d.make(c))
	t.Cleanup(d.detach)
	return d
}

func (d *driver) make(c nvme.Config) *nvme.Controller {
	if d.interrupts == nil {
		return fresh(d.t, d.mem, nil, c)
	}
	return fresh(d.t, d.mem, d.interrupts, c)
}

func (d *driver) detach() {
	if err := d.dev.Close(); err != nil {
		d.t.Errorf("close: %v", err)
	}
}

// attach builds buses and a root around dev, places its BAR and points each vector at the message of its number.
func (d *driver) attach(dev *nvme.Controller) {
	d.dev, d.kernel = dev, &kernel{map[uint64]*event.Event{}}
	d.mmio = bus.New("memory", d.kernel)
	lines := []irq.Line{irq.LineFunc(d.setPin)}
	root, err := pci.NewRoot(pci.Config{Memory: d.mmio, IO: bus.New("port", nil), Buses: 1, Lines: lines}, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	ecam, size := root.ECAM()
	if err := d.mmio.Map(ecamBase, size, ecam); err != nil {
		d.t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 1}, dev.Function()); err != nil {
		d.t.Fatal(err)
	}
	d.probe()
}

func (d *driver) setPin(high bool) {
	d.pin.Store(high)
	if high {
		select {
		case d.pinned <- struct{}{}:
		default:
		}
	}
}

func (d *driver) probe() {
	const config = ecamBase + 1<<15
	d.store(config+4, 2, 0)
	d.store(config+0x10, 8, barBase)
	d.store(config+4, 2, 6)
	for at := d.load(config+0x34, 1); at != 0; at = d.load(config+at+1, 1) {
		if d.load(config+at, 1) != pci.CapMSIX || d.interrupts == nil {
			continue
		}
		d.store(config+at+2, 2, 1<<15)
		for v := range d.load(config+at+2, 2)&0x7ff + 1 {
			entry := barBase + 0x2000 + 16*v
			d.store(entry, 8, 0xfee0_0000)
			d.store(entry+8, 4, v)
			d.store(entry+12, 4, 0)
		}
	}
}

func (d *driver) load(addr uint64, width int) uint64 {
	clear(d.word[:])
	d.mmio.Read(addr, d.word[:width])
	return binary.LittleEndian.Uint64(d.word[:])
}

func (d *driver) store(addr uint64, width int, v uint64) {
	binary.LittleEndian.PutUint64(d.word[:], v)
	d.mmio.Write(addr, d.word[:width])
}

func (d *driver) reg(off uint64) uint32       { return uint32(d.load(barBase+off, 4)) }
func (d *driver) setReg(off uint64, v uint32) { d.store(barBase+off, 4, uint64(v)) }

// alloc returns pages of zeroed RAM.
func (d *driver) alloc(n int) uint64 {
	at := d.next
	d.next += uint64(n * page)
	if d.next > ramSize {
		d.t.Fatal("out of fake RAM")
	}
	clear(d.ram(at, n*page))
	return at
}

func (d *driver) ram(at uint64, n int) []byte {
	p, err := d.mem.Slice(at, uint64(n))
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

// await waits until CSTS has value under mask.
func (d *driver) await(mask, value uint32) {
	d.t.Helper()
	for end := time.Now().Add(patience); d.reg(regCSTS)&mask != value; runtime.Gosched() { // a register has no other way to tell
		if time.Now().After(end) {
			d.t.Fatalf("CSTS is %#x, want %#x in %#x", d.reg(regCSTS), value, mask)
		}
	}
}

// enable resets the controller and enables it with admin queues of 32 entries.
func (d *driver) enable() {
	d.t.Helper()
	d.setReg(regCC, 0)
	d.await(ready, 0)
	d.admin = &pair{d: d, sq: d.alloc(1), cq: d.alloc(1), size: 32, cqSize: 32, phase: 1}
	d.setReg(regAQA, 31<<16|31)
	d.store(barBase+regASQ, 8, d.admin.sq)
	d.store(barBase+regACQ, 8, d.admin.cq)
	d.setReg(regCC, enableBits)
	d.await(ready|fatal, ready)
}

// pair makes queue pair id with so many entries.
func (d *driver) pair(id, size, cqSize int) *pair {
	d.t.Helper()
	p := &pair{d: d, id: id, sq: d.alloc((size*64 + page - 1) / page), cq: d.alloc((cqSize*16 + page - 1) / page), size: size, cqSize: cqSize, phase: 1}
	vector := uint32(id)
	if d.interrupts == nil {
		vector = 0
	}
	d.admin.must(cmd(createCQ, 0, p.cq, 0, uint32(cqSize-1)<<16|uint32(id), vector<<16|3))
	d.admin.must(cmd(createSQ, 0, p.sq, 0, uint32(size-1)<<16|uint32(id), uint32(id)<<16|1))
	return p
}

// offer puts a command into the ring and returns its ID; ring tells the controller.
func (p *pair) offer(c command) uint16 {
	p.id16++
	c[0] |= uint32(p.id16) << 16
	entry := p.d.ram(p.sq+uint64(p.tail)*64, 64)
	for i, v := range c {
		binary.LittleEndian.PutUint32(entry[4*i:], v)
	}
	p.tail = (p.tail + 1) % p.size
	return p.id16
}

func (p *pair) ring() { p.d.store(barBase+0x1000+8*uint64(p.id), 4, uint64(p.tail)) }

func (p *pair) submit(c command) uint16 {
	id := p.offer(c)
	p.ring()
	return id
}

// poll takes a completion if there is one. It does not tell the controller.
func (p *pair) poll() (a answer, ok bool) {
	entry := p.d.ram(p.cq+uint64(p.head)*16, 16)
	v := shared.Load32(entry, 12)
	if v>>16&1 != p.phase {
		return a, false
	}
	at := shared.Load32(entry, 8)
	a = answer{shared.Load32(entry, 0), uint16(at), uint16(v), uint16(v>>17) & 0x7ff}
	if int(at>>16) != p.id {
		p.d.t.Errorf("queue %d has a completion of queue %d", p.id, at>>16)
	}
	if p.head++; p.head == p.cqSize {
		p.head, p.phase = 0, p.phase^1
	}
	return a, true
}

// consumed tells the controller how far the driver has come.
func (p *pair) consumed() { p.d.store(barBase+0x1004+8*uint64(p.id), 4, uint64(p.head)) }

// next waits for a completion.
func (p *pair) next() answer {
	p.d.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if a, ok := p.poll(); ok {
			p.consumed()
			return a
		}
		select {
		case <-p.d.interrupt(p.id):
		case <-limit.C:
			p.d.t.Fatalf("queue %d: no completion; CSTS %#x", p.id, p.d.reg(regCSTS))
		}
	}
}

// interrupt receives when queue pair id may have completions.
func (d *driver) interrupt(id int) <-chan struct{} {
	if d.interrupts != nil {
		return d.interrupts.Channel(uint32(id))
	}
	return d.pinned
}

// do carries out one command, while no other is outstanding.
func (p *pair) do(c command) answer {
	p.d.t.Helper()
	id := p.submit(c)
	a := p.next()
	if a.id != id {
		p.d.t.Fatalf("completion of command %d, want %d", a.id, id)
	}
	return a
}

func (p *pair) must(c command) uint32 {
	p.d.t.Helper()
	a := p.do(c)
	if a.status != 0 {
		p.d.t.Fatalf("command %#x: status %#x", uint8(c[0]), a.status)
	}
	return a.result
}

// save returns the state of the controller, which goes on running.
func (d *driver) save() []byte {
	d.dev.Pause()
	defer d.dev.Resume()
	var w state.Writer
	d.dev.Save(&w)
	return w.Data()
}
