package ide

import (
	"encoding/binary"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Where the driver keeps its structures in guest memory.
const (
	ramSize = 1 << 20
	regions = 0x1000
	buffers = 0x10000
)

// driver is a guest's driver of the primary channel.
type driver struct {
	t    testing.TB
	k    *Controller
	ram  []byte
	line *atatest.Line
	word [4]byte
}

func newController(t testing.TB, ram []byte, line irq.Line, drives ...ata.Device) *Controller {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: ram})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Memory: mem, Lines: [2]irq.Line{line, irq.LineFunc(func(bool) {})}}
	for i, d := range drives {
		c.Drives[i/Drives][i%Drives] = d
	}
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	root, err := pci.NewRoot(pci.Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 7}, k.Function()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func newDriver(t testing.TB, drives ...ata.Device) *driver {
	t.Helper()
	d := &driver{t: t, ram: make([]byte, ramSize), line: atatest.NewLine()}
	d.k = newController(t, d.ram, d.line, drives...)
	return d
}

func newDisk(t testing.TB, c ata.DiskConfig) *ata.Disk {
	t.Helper()
	d, err := ata.NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newCD returns a drive with a disc.
func newCD(t testing.TB, image *imagetest.Image) *ata.CDROM {
	t.Helper()
	unit, err := scsi.NewCDROM(scsi.CDROMConfig{Image: image, KeepSense: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := ata.NewCDROM(ata.CDROMConfig{Unit: unit, Model: "CD"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *driver) in(reg int) uint8 {
	d.k.Command(0).Read(uint64(reg), d.word[:1])
	return d.word[0]
}

func (d *driver) out(reg int, v uint8) {
	d.word[0] = v
	d.k.Command(0).Write(uint64(reg), d.word[:1])
}

func (d *driver) alternate() uint8 {
	d.k.Control(0).Read(0, d.word[:1])
	return d.word[0]
}

func (d *driver) control(v uint8) {
	d.word[0] = v
	d.k.Control(0).Write(0, d.word[:1])
}

// master reads and writes bus master registers.
func (d *driver) master(reg, width int) uint32 {
	var p [4]byte
	busMaster{d.k}.Read(uint64(reg), p[:width])
	return binary.LittleEndian.Uint32(p[:])
}

func (d *driver) setMaster(reg, width int, v uint32) {
	binary.LittleEndian.PutUint32(d.word[:], v)
	busMaster{d.k}.Write(uint64(reg), d.word[:width])
}

// command writes the registers of a command: those of 48 bits twice.
func (d *driver) command(op uint8, features uint8, count uint16, lba uint64, device uint8) {
	d.out(regDevice, device)
	for i := 1; i >= 0; i-- {
		d.out(regError, features)
		d.out(regCount, uint8(count>>(8*i)))
		for k := range 3 {
			d.out(regLBA+k, uint8(lba>>(24*i+8*k)))
		}
	}
	d.out(regStatus, op)
}

// wait waits for an interrupt and returns the status, which takes the interrupt back.
func (d *driver) wait() uint8 {
	d.line.Wait()
	return d.in(regStatus)
}

// ready polls until the channel is not busy.
func (d *driver) ready() uint8 {
	for d.alternate()&ata.StatusBusy != 0 {
		runtime.Gosched()
	}
	return d.alternate()
}

// read moves n bytes from the data port, width bytes at once.
func (d *driver) read(n, width int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; i += width {
		d.k.Command(0).Read(regData, p[i:i+width])
	}
	return p
}

func (d *driver) write(p []byte, width int) {
	for i := 0; i < len(p); i += width {
		d.k.Command(0).Write(regData, p[i:i+width])
	}
}

// region is a piece of guest memory.
type region struct{ addr, n int }

// dma sets up the bus master; start starts it.
func (d *driver) dma(toHost bool, pieces ...region) {
	for i, p := range pieces {
		e := d.ram[regions+i*regionSize:]
		binary.LittleEndian.PutUint32(e, uint32(p.addr))
		binary.LittleEndian.PutUint32(e[4:], uint32(p.n&0xffff))
		if i == len(pieces)-1 {
			e[7] = 0x80
		}
	}
	d.setMaster(masterTable, 4, regions)
	d.setMaster(masterStatus, 1, masterError|masterInterrupt)
	v := uint32(0)
	if toHost {
		v = masterToHost
	}
	d.setMaster(masterCommand, 1, v)
}

func (d *driver) start() { d.setMaster(masterCommand, 1, d.master(masterCommand, 1)|masterStart) }

func (d *driver) stop() { d.setMaster(masterCommand, 1, d.master(masterCommand, 1)&^masterStart) }
