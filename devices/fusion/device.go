package fusion

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Model is a member of the family.
type Model uint8

// The models.
const (
	SAS1068    Model = iota // serial attached SCSI, VMware's "lsisas1068"
	LSI53C1030              // parallel SCSI, VMware's "lsilogic"
)

// traits are in what the models differ.
type traits struct {
	chip         string
	identity     pci.Identity
	version      uint16 // of the message passing interface
	product      uint16
	capabilities uint32
	portType     uint8
}

var models = map[Model]traits{
	SAS1068: {
		chip: "C1068", version: 0x0105, product: 0x2002, capabilities: capabilityHighPriority, portType: 0x30,
		identity: pci.Identity{Vendor: 0x1000, Device: 0x0054, SubsystemVendor: 0x15ad, Subsystem: 0x1976, Class: 0x010700, Revision: 1},
	},
	LSI53C1030: {
		chip: "53C1030", version: 0x0102, product: 0x0001, portType: 0x01,
		identity: pci.Identity{Vendor: 0x1000, Device: 0x0030, SubsystemVendor: 0x15ad, Subsystem: 0x1976, Class: 0x010000, Revision: 1},
	},
}

// Config says what an adapter is made of.
type Config struct {
	Name  string // for messages
	Model Model
	// Targets are the devices by their SCSI IDs, at most 16. Number 7 is the adapter's own and must be nil.
	Targets []*scsi.Target
	// WWID is the world-wide name of a SAS adapter; 0 makes one up.
	WWID   uint64
	Memory *memory.Guest
	MSI    irq.MSIAllocator
	Log    *slog.Logger // nil discards
}

// Device is an adapter. It implements state.Device.
type Device struct {
	name   string
	traits traits
	model  Model
	wwid   uint64
	mem    *memory.Guest
	log    *slog.Logger
	fn     *pci.Function
	msi    *pci.MSI
	engine *scsi.Engine
	tasks  sync.WaitGroup // task management under way

	mu        sync.Mutex
	registers registers
	paused    bool
	resetting bool
	epoch     uint64 // counts resets: what was begun before one is nobody's any more
	spare     []*request
	flying    int                // requests whose reply is to come
	managing  int                // task management requests among them
	requested [maxTargets]uint32 // what the guest asked of each target's bus, parallel SCSI only
	raised    bool               // the level of the interrupt
}

// registers are what the guest sees and has set, the part that a reset clears.
type registers struct {
	state      uint8
	fault      uint16
	who        uint8 // who initialised the adapter
	status     uint32
	mask       uint32
	diagnostic uint32
	sequence   uint8 // keys given so far
	events     bool
	devices    uint8
	buses      uint8
	replySize  uint16
	frameHigh  uint32 // upper half of the addresses of frames
	senseHigh  uint32

	handshake handshake
	requests  fifo // frames that wait for the end of a pause
	free      fifo // reply frames of the guest
	post      fifo // replies that the guest has not taken
}

// New returns an adapter in its power-on state.
func New(c Config) (*Device, error) {
	d := &Device{name: c.Name, model: c.Model, traits: models[c.Model], wwid: c.WWID, mem: c.Memory, log: c.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if len(c.Targets) > maxTargets || len(c.Targets) > hostTarget && c.Targets[hostTarget] != nil {
		return nil, fmt.Errorf("fusion: %s: SCSI IDs are 0 to 6 and 8 to 15", c.Name)
	}
	if d.wwid == 0 {
		d.wwid = 0x5005056000000000 | uint64(hash(c.Name))<<4
	}
	d.engine = scsi.NewEngine(scsi.EngineConfig{Targets: c.Targets, Done: d.done, Log: d.log})
	d.fn = pci.NewFunction(c.Name, d.traits.identity)
	d.fn.UseINTx(1)
	ports, memoryBAR := bank{d, 0x100}, bank{d, 0x4000}
	if err := d.fn.AddBAR(0, pci.IO, ports.size, ports); err != nil {
		return nil, err
	}
	if err := d.fn.AddBAR(1, pci.Mem64, memoryBAR.size, memoryBAR); err != nil {
		return nil, err
	}
	if err := d.fn.AddBAR(3, pci.Mem64, 0x10000, nil); err != nil { // diagnostic memory
		return nil, err
	}
	var err error
	if d.msi, err = d.fn.AddMSI(c.MSI, 1, pci.MSI64); err != nil {
		return nil, err
	}
	d.powerOn()
	d.engine.Start()
	return d, nil
}

// Function is the adapter on the PCI bus.
func (d *Device) Function() *pci.Function { return d.fn }

// Close ends the adapter's goroutines, after what is under way.
func (d *Device) Close() error {
	d.Pause()
	d.msi.Close()
	return nil
}

// hash is FNV-1a.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// powerOn puts the registers into their first state. d.mu is held, or nobody else knows d.
func (d *Device) powerOn() {
	r := &d.registers
	*r = registers{
		state: stateReady, mask: intDoorbell | intReply, replySize: 80, devices: maxTargets, buses: 1,
		requests: fifo{entries: r.requests.entries[:0]}, free: fifo{entries: r.free.entries[:0]}, post: fifo{entries: r.post.entries[:0]},
	}
	d.requested = [maxTargets]uint32{}
}

// reset takes back all commands and brings the messaging up anew; with hard the adapter forgets everything else too, and resets its devices. The
// lock is held on entry and exit, but not in between.
func (d *Device) reset(hard bool) {
	if d.resetting {
		return
	}
	d.resetting = true
	d.epoch++
	d.flying, d.managing = 0, 0
	d.registers.state = stateReset
	func() {
		d.mu.Unlock()
		defer d.mu.Lock()
		if hard {
			d.engine.Reset(nil, scsi.BusReset)
		} else {
			d.engine.Abort(nil)
		}
	}()
	d.resetting = false
	old := d.registers
	requested := d.requested
	d.powerOn()
	r := &d.registers
	if hard {
		r.diagnostic = diagResetHistory
	} else {
		r.mask, r.diagnostic, r.sequence, d.requested = old.mask, old.diagnostic, old.sequence, requested
	}
	d.interrupt()
}

// fail puts the adapter into its fault state, which only a reset ends.
func (d *Device) fail(code uint16, err error) {
	if d.registers.state != stateFault {
		d.log.Warn("SCSI adapter stops: its driver broke the protocol", "adapter", d.name, "code", fmt.Sprintf("%#x", code), "error", err)
	}
	r := &d.registers
	r.state, r.fault, r.handshake.phase = stateFault, code, phaseNone // so that the doorbell takes a reset again
}

// interrupt makes the interrupt follow the registers. d.mu is held.
func (d *Device) interrupt() {
	r := &d.registers
	level := (r.pending() &^ r.mask) != 0
	if level == d.raised {
		return
	}
	d.raised = level
	if !d.msi.Enabled() {
		d.fn.SetINTx(level)
		return
	}
	d.fn.SetINTx(false)
	if level {
		d.msi.Fire(0)
	}
}

// pending is the interrupt status.
func (r *registers) pending() uint32 {
	s := r.status
	if len(r.post.entries) > 0 {
		s |= intReply
	}
	return s
}

// fifo is a queue of words, of a bounded length.
type fifo struct{ entries []uint32 }

func (f *fifo) push(v uint32) bool {
	if len(f.entries) >= replyDepth {
		return false
	}
	f.entries = append(f.entries, v)
	return true
}

func (f *fifo) pop() (uint32, bool) {
	if len(f.entries) == 0 {
		return 0xffffffff, false
	}
	v := f.entries[0]
	copy(f.entries, f.entries[1:])
	f.entries = f.entries[:len(f.entries)-1]
	return v, true
}

var le = binary.LittleEndian
