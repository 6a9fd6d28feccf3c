package machine

import (
	"io"
	"time"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/devices/i8042"
	"github.com/sharevm/vmm/devices/rtc"
	"github.com/sharevm/vmm/vmm/bus"
)

// addPlatform adds what sits at fixed ports: UARTs, clock, keyboard controller, power management, the marker port.
func (b *board) addPlatform() error {
	if err := b.vm.Ports.Map(MarkPort, 1, b.m.marks); err != nil {
		return err
	}
	for _, add := range []func() error{b.addPower, b.addKeyboardController, b.addClock, b.addSerials, b.addTPM} {
		if err := add(); err != nil {
			return err
		}
	}
	return nil
}

// addPower adds ACPI's fixed hardware, but for its reset register, which lies amid the ports of PCI: see addPCI.
func (b *board) addPower() error {
	c := acpipm.Config{
		Line:   b.vm.Line(layout.GSISCI),
		Notify: b.powerEvent,
		Log:    b.m.log,
		S5:     layout.SleepTypeS5,
		Enable: layout.SMIEnableACPI, Disable: layout.SMIDisableACPI,
	}
	if b.pc() {
		c.NoSMM, c.OffByZero, c.S3, c.S4 = true, true, layout.SleepTypeS3, layout.SleepTypeS4
		c.TakenOver = b.takenOver
	}
	b.power = acpipm.New(c)
	b.closers = append(b.closers, closeFunc(b.power.Pause))
	b.devices = append(b.devices, b.power)
	if !b.pc() { // there the LPC bridge maps it
		if err := b.vm.Ports.Map(layout.PortPMBase, acpipm.BlockSize, b.power.Block()); err != nil {
			return err
		}
	}
	return b.vm.Ports.Map(layout.PortSMI, acpipm.SMISize, b.power.SMI())
}

// powerEvent obeys the guest.
func (b *board) powerEvent(e acpipm.PowerEvent) {
	switch e {
	case acpipm.Reset:
		b.verdict.decide(rebooted, nil)
	case acpipm.Suspend:
		b.verdict.decide(suspended, nil)
	default:
		b.verdict.decide(poweredOff, nil)
	}
}

// addKeyboardController adds the i8042, which on the fast board only resets the machine: the tables say there that there is none, so that
// Linux does not look for keyboards.
func (b *board) addKeyboardController() error {
	c := i8042.Config{Reset: func() { b.verdict.decide(rebooted, nil) }}
	if b.pc() {
		c.Devices, c.Log, c.LEDs = true, b.m.log, b.m.input.SetLEDs
		c.Keyboard, c.Mouse = b.vm.Line(layout.GSIKeyboard), b.vm.Line(layout.GSIMouse)
	}
	d := i8042.New(c)
	b.keyboard = d
	b.closers = append(b.closers, d)
	b.devices = append(b.devices, d)
	for _, p := range []struct {
		port uint64
		dev  bus.Device
	}{{layout.PortI8042Data, d.Data()}, {layout.PortI8042Command, d.Command()}, {layout.PortSystemA, d.SystemControl()}} {
		if err := b.vm.Ports.Map(p.port, 1, p.dev); err != nil {
			return err
		}
	}
	return nil
}

// addClock adds the CMOS clock. Without one Linux waits for seconds.
func (b *board) addClock() error {
	cfg := &b.m.cfg.Clock
	c := rtc.Config{
		Line:       b.vm.Line(layout.GSIRTC),
		Offset:     cfg.Offset,
		LowMemory:  b.layout.Low.Size,
		HighMemory: b.layout.High.Size,
		CPUs:       b.m.cfg.CPU.Count,
		Log:        b.m.log,
	}
	if cfg.LocalTime {
		c.Location = time.Local
	}
	if !cfg.Start.IsZero() {
		c.Offset += time.Until(cfg.Start)
	}
	d := rtc.New(c)
	b.clock = d
	b.closers = append(b.closers, closeFunc(d.Pause))
	b.devices = append(b.devices, d)
	return b.vm.Ports.Map(layout.PortRTC, rtc.Size, d)
}

// closeFunc makes an io.Closer of a function that cannot fail.
type closeFunc func()

// Close calls f.
func (f closeFunc) Close() error {
	f()
	return nil
}

var _ io.Closer = closeFunc(nil)
