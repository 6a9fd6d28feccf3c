package i8042

import (
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
)

// PortSize is the size of each of the device's three port ranges.
const PortSize = 1

// Bits of the status register.
const (
	statusFull     = 1 << 0 // a byte waits at the data port
	statusSystem   = 1 << 2 // the self-test has passed
	statusCommand  = 1 << 3 // the last write went to the command port
	statusUnlocked = 1 << 4
	statusAux      = 1 << 5 // the waiting byte is from the mouse
	statusTimeout  = 1 << 6
)

// Bits of the command byte.
const (
	commandKeyboardIRQ = 1 << 0
	commandMouseIRQ    = 1 << 1
	commandSystem      = 1 << 2
	commandTranslate   = 1 << 6
)

// Bits of the output port.
const (
	outputNoReset = 1 << 0
	outputA20     = 1 << 1
	outputReset   = outputNoReset | outputA20 | 0xCC
)

// Commands.
const (
	cmdReadRAM        = 0x20 // to 0x3F
	cmdWriteRAM       = 0x60 // to 0x7F
	cmdDisableMouse   = 0xA7
	cmdEnableMouse    = 0xA8
	cmdTestMouse      = 0xA9
	cmdSelfTest       = 0xAA
	cmdTestKeyboard   = 0xAB
	cmdDisableKeys    = 0xAD
	cmdEnableKeys     = 0xAE
	cmdReadInput      = 0xC0
	cmdReadOutput     = 0xD0
	cmdWriteOutput    = 0xD1
	cmdLoopKeyboard   = 0xD2
	cmdLoopMouse      = 0xD3
	cmdWriteMouse     = 0xD4
	cmdPulse          = 0xF0 // to 0xFF: output bits whose mask is zero go low for a moment
	ramSize           = 32
	mouseDisabled     = 1 << 5
	keyboardDisabled  = 1 << 4
	selfTestPassed    = 0x55
	interfaceFine     = 0x00
	interfaceClockLow = 0x01 // what a port without a device tests as
	resend            = 0xFE // with statusTimeout: nobody answered
	inputUnlocked     = 0x80
)

// Bits of port 92h.
const (
	systemReset = 1 << 0
	systemA20   = outputA20 // at the same place
)

// Config is how the controller is wired into the board.
type Config struct {
	Keyboard irq.Line // GSI 1; nil for none
	Mouse    irq.Line // GSI 12; nil for none
	Reset    func()   // called by a vCPU, without locks held: it must not block

	Devices bool        // a keyboard and a mouse are plugged in
	Clock   clock.Clock // of keys that repeat; nil for clock.Host
	// LEDs hears of the keyboard's lights. It is called by a vCPU, without locks held, and must not block; nil is nobody.
	LEDs func(input.LEDs)
	Log  *slog.Logger // takes the panics of the timer; nil is silent
}

// Device is the controller. It is a state.Device with three port ranges: Data, Command and SystemControl.
type Device struct {
	cfg Config

	mu       sync.Mutex
	ram      [ramSize]uint8 // the first is the command byte
	status   uint8
	data     uint8
	device   bool  // data came from a device
	pending  uint8 // the command whose parameter the next byte at the data port is, or 0
	output   uint8 // the output port
	released bool  // the translator has taken the prefix of a release
	// A device's byte that a command's reply went ahead of, and its flag.
	displaced      bool
	displacedByte  uint8
	displacedFlags uint8
	keyboard       keyboard
	mouse          mouse
	high           [2]bool
	paused         bool
}

// New returns a controller as after the PC's self-test.
func New(c Config) *Device {
	for _, l := range []*irq.Line{&c.Keyboard, &c.Mouse} {
		if *l == nil {
			*l = irq.LineFunc(func(bool) {})
		}
	}
	if c.Clock == nil {
		c.Clock = clock.Host
	}
	d := &Device{cfg: c, status: statusSystem | statusUnlocked, output: outputReset}
	d.ram[0] = commandSystem | keyboardDisabled | mouseDisabled
	d.keyboard.defaults()
	d.keyboard.enabled = true
	d.mouse.defaults()
	if c.Devices {
		d.ram[0] |= commandTranslate // as firmware leaves it
		d.keyboard.timer = c.Clock.NewTimer(d.typematic)
		d.keyboard.rest = c.Clock.NewTimer(d.rested)
	}
	return d
}

// Data is port 60h.
func (d *Device) Data() bus.Device { return dataPort{d} }

// Command is port 64h: commands when written, status when read.
func (d *Device) Command() bus.Device { return commandPort{d} }

// SystemControl is port 92h: fast A20 and reset.
func (d *Device) SystemControl() bus.Device { return systemPort{d} }

// Key presses or releases a key, by its Linux input event code; keys that the keyboard lacks are ignored, as are repeats.
func (d *Device) Key(code uint16, down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keyboard.key(code, down)
	d.load()
}

// Move moves the mouse: x to the right, y down and wheel away from the user, as Linux input events count.
func (d *Device) Move(x, y, wheel int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mouse.move(x, -y, -wheel)
	d.load()
}

// Button presses or releases a button of the mouse: 0 left, 1 right, 2 middle, 3 side, 4 extra. Others are ignored.
func (d *Device) Button(n int, down bool) {
	if n < 0 || 1<<n > buttonBits {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mouse.buttons &^= 1 << n
	if down {
		d.mouse.buttons |= 1 << n
	}
	d.load()
}

// Close stops the timer of the key that repeats.
func (d *Device) Close() error {
	d.Pause()
	return nil
}

// typematic is called by the keyboard's timer.
func (d *Device) typematic() {
	defer guard.Panic(d.cfg.Log, "keyboard repeat")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		return
	}
	d.keyboard.expired()
	d.load()
}

// rested is called by the timer of a keyboard that rests.
func (d *Device) rested() {
	defer guard.Panic(d.cfg.Log, "keyboard")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.load()
}

// reply puts the controller's own byte where the guest reads it, ahead of a device's.
func (d *Device) reply(v, flags uint8) {
	if d.status&statusFull != 0 && d.device {
		d.displaced, d.displacedByte, d.displacedFlags = true, d.data, d.status&statusAux
	}
	d.show(v, flags, false)
}

// show puts a byte where the guest reads it.
func (d *Device) show(v, flags uint8, device bool) {
	d.data, d.device = v, device
	d.status = d.status&^(statusAux|statusTimeout) | statusFull | flags
	d.update()
}

// load shows the next byte of a device, if there is room, and lets the devices use the room that this makes.
func (d *Device) load() {
	if d.paused || !d.cfg.Devices {
		return
	}
	for d.status&statusFull == 0 {
		if d.displaced {
			d.displaced = false
			d.show(d.displacedByte, d.displacedFlags, true)
			break
		}
		d.keyboard.catchUp()
		d.mouse.send()
		if d.ram[0]&keyboardDisabled == 0 && d.keyboard.waiting() && !d.keyboard.rests(d.cfg.Clock.Now()) {
			if v, whole := d.translate(d.keyboard.next()); whole {
				d.keyboard.shown(d.cfg.Clock.Now())
				d.show(v, 0, true)
			}
			continue
		}
		if d.ram[0]&mouseDisabled != 0 || !d.mouse.waiting() {
			break
		}
		d.show(d.mouse.next(), statusAux, true)
	}
	d.mouse.send()
}

// translate does what the command byte asks for to a byte of the keyboard. The prefix of a release gives none.
func (d *Device) translate(v uint8) (code uint8, whole bool) {
	if d.ram[0]&commandTranslate == 0 {
		return v, true
	}
	if v == prefixBreak {
		d.released = true
		return 0, false
	}
	v = translation[v]
	if d.released {
		v |= breakBit
		d.released = false
	}
	return v, true
}

// update sets the interrupt lines.
func (d *Device) update() {
	if d.paused {
		return
	}
	full, aux := d.status&statusFull != 0, d.status&statusAux != 0
	for i, level := range [2]bool{
		full && !aux && d.ram[0]&commandKeyboardIRQ != 0,
		full && aux && d.ram[0]&commandMouseIRQ != 0,
	} {
		if line := [2]irq.Line{d.cfg.Keyboard, d.cfg.Mouse}[i]; level != d.high[i] {
			d.high[i] = level
			line.SetLevel(level)
		}
	}
}

// reset tells the board. The caller holds no lock.
func (d *Device) reset(wanted bool) {
	if wanted && d.cfg.Reset != nil {
		d.cfg.Reset()
	}
}
