package i8042

import (
	"sync"

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
}

// Device is the controller. It is a state.Device with three port ranges: Data, Command and SystemControl.
type Device struct {
	cfg Config

	mu      sync.Mutex
	ram     [ramSize]uint8 // the first is the command byte
	status  uint8
	data    uint8
	pending uint8 // the command whose parameter the next byte at the data port is, or 0
	output  uint8 // the output port
	high    [2]bool
	paused  bool
}

// New returns a controller as after the PC's self-test.
func New(c Config) *Device {
	for _, l := range []*irq.Line{&c.Keyboard, &c.Mouse} {
		if *l == nil {
			*l = irq.LineFunc(func(bool) {})
		}
	}
	d := &Device{cfg: c, status: statusSystem | statusUnlocked, output: outputReset}
	d.ram[0] = commandSystem | keyboardDisabled | mouseDisabled
	return d
}

// Data is port 60h.
func (d *Device) Data() bus.Device { return dataPort{d} }

// Command is port 64h: commands when written, status when read.
func (d *Device) Command() bus.Device { return commandPort{d} }

// SystemControl is port 92h: fast A20 and reset.
func (d *Device) SystemControl() bus.Device { return systemPort{d} }

// reply puts a byte where the guest reads it.
func (d *Device) reply(v, flags uint8) {
	d.data = v
	d.status = d.status&^(statusAux|statusTimeout) | statusFull | flags
	d.update()
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
