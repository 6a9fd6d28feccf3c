package acpipm

import (
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
)

// Sizes of the device's port ranges.
const (
	BlockSize = 0x80 // PM block
	SMISize   = 2    // APM control and status
	ResetSize = 1    // reset control
)

// Offsets in the PM block.
const (
	regStatus  = 0x00 // PM1a status, 16 bits
	regEnable  = 0x02 // PM1a enable, 16 bits
	regControl = 0x04 // PM1a control, 16 bits
	regTimer   = 0x08 // 32 bits
	regGPE     = 0x20 // status, then enable, gpeBytes each
	regSMI     = 0x30 // SMI_EN
	gpeBytes   = 8
	// GPEs is the number of general purpose events.
	GPEs = 8 * gpeBytes
)

// Bits of PM1a status and, where they can interrupt, enable.
const (
	eventTimer  = 1 << 0
	eventGlobal = 1 << 5
	eventButton = 1 << 8
	eventSleep  = 1 << 9
	eventRTC    = 1 << 10
	statusWake  = 1 << 15

	enableBits = eventTimer | eventGlobal | eventButton | eventSleep | eventRTC
)

// Bits of PM1a control.
const (
	controlSCI       = 1 << 0
	controlBusMaster = 1 << 1
	controlSleepType = 7 << 10
	controlSleep     = 1 << 13 // write-only

	sleepTypeShift = 10
	controlKept    = controlBusMaster | controlSleepType // what a guest's write changes
)

// smiByAPM in SMI_EN says that the APM control port interrupts.
const smiByAPM = 1 << 5

// Bits of the reset control register.
const (
	resetCPU  = 1 << 2
	resetKept = 0x0E
)

// PowerEvent is what the guest asks of the board.
type PowerEvent uint8

// The events.
const (
	SoftOff   PowerEvent = iota + 1 // S5
	Reset                           // by the reset register
	Suspend                         // S3: memory stays, Wake continues
	Hibernate                       // S4: off, the guest has kept its memory on disk
)

// Config is how power management is wired into the board.
type Config struct {
	Line   irq.Line         // the SCI
	Clock  clock.Clock      // of the PM timer; nil for clock.Host
	Notify func(PowerEvent) // called by a vCPU, without locks held: it must not block
	Log    *slog.Logger     // takes the panics of the PM timer; nil is silent

	// The values of SLP_TYP that the DSDT gives for the sleep states, 1 to 7; 0 where a state is not offered.
	S3, S4, S5 uint8
	// OffByZero has zero stand for S5 as well: OVMF, which does not look at the DSDT, powers off by it, as QEMU's board has it.
	OffByZero bool
	// The values of the FADT that the guest writes to the APM control port to take over and to give back the fixed hardware.
	Enable, Disable uint8
	// TakenOver, if set, is called when the guest writes Enable: an operating system has begun to run, and looks for devices only afterwards (ACPI 6.5, section 16.3.1). The rules
	// are those of Notify.
	TakenOver func()

	// NoSMM has SMI_EN say that firmware has set up system management mode, so that it does not try: the board has none.
	NoSMM bool
}

// Device is the power management. It is a state.Device with three port ranges: Block, SMI and ResetPort.
type Device struct {
	cfg Config

	mu      sync.Mutex
	status  uint16
	enable  uint16
	control uint16
	gpe     [2 * gpeBytes]uint8 // status, enable
	apm     [SMISize]uint8
	reset   uint8

	origin uint64    // ticks of the PM timer
	start  time.Time // at this moment
	count  uint64    // ticks when last looked at
	timer  clock.Timer
	high   bool // level of the SCI
	paused bool
}

// New returns power management as after power-on, its timer at zero.
func New(c Config) *Device {
	if c.Clock == nil {
		c.Clock = clock.Host
	}
	return &Device{cfg: c, start: c.Clock.Now()}
}

// Block is the PM block: BlockSize ports.
func (d *Device) Block() bus.Device { return block{d} }

// SMI is the APM control and status ports: SMISize ports.
func (d *Device) SMI() bus.Device { return apmPorts{d} }

// ResetPort is the reset control register, port CF9h: ResetSize ports.
func (d *Device) ResetPort() bus.Device { return resetPort{d} }

// PressPowerButton raises the power button event. It says whether the guest has asked to hear of it.
func (d *Device) PressPowerButton() (heard bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status |= eventButton
	d.update()
	return d.control&controlSCI != 0 && d.enable&eventButton != 0
}

// WakeCause is what ended a sleep.
type WakeCause uint8

// The causes.
const (
	WokenByUser WakeCause = iota // something that no event of the fixed hardware stands for
	WokenByButton
	WokenByClock
)

// Wake tells the guest that it has slept: the board calls it before the guest runs again after Suspend. The fixed hardware is the guest's
// again, as firmware leaves it.
func (d *Device) Wake(c WakeCause) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.control |= controlSCI
	d.status |= statusWake
	switch c {
	case WokenByButton:
		d.status |= eventButton
	case WokenByClock:
		d.status |= eventRTC
	}
	d.update()
}

// Signal raises general purpose event n, 0 to GPEs-1.
func (d *Device) Signal(n uint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gpe[n/8%gpeBytes] |= 1 << (n % 8)
	d.update()
}

// notify tells the board about an event, if there is one. The caller holds no lock.
func (d *Device) notify(e PowerEvent) {
	if e != 0 && d.cfg.Notify != nil {
		d.cfg.Notify(e)
	}
}

// update sets the SCI, and the timer for the PM timer's next carry if the guest waits for it.
func (d *Device) update() {
	if d.paused {
		return
	}
	high := false
	if d.control&controlSCI != 0 {
		high = d.status&d.enable&enableBits != 0
		for i := range gpeBytes {
			high = high || d.gpe[i]&d.gpe[gpeBytes+i] != 0
		}
	}
	if high != d.high {
		d.high = high
		d.cfg.Line.SetLevel(high)
	}
	d.schedule()
}
