package hpet

import (
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/vmm/irq"
)

// Size is how many bytes of memory the registers take.
const Size = 0x400

// ID is the lower half of the identification register, which ACPI's table repeats: Intel, three comparators, 64 bits, legacy replacement, revision 1.
const ID = 0x8086A201

// Comparators is how many there are.
const Comparators = 3

// Inputs are the inputs of the IOAPIC that a comparator may be wired to, one bit each.
const Inputs = 1<<2 | 1<<8 | 0xFF<<16

const (
	period     = 10 * time.Nanosecond // of the counter
	femtoTick  = 10_000_000           // in fs
	shortest   = 50 * time.Microsecond
	legacyTick = 2 // inputs of comparators 0 and 1 in legacy replacement mode
	legacyRTC  = 8
)

// Bits of the general configuration.
const (
	confEnable = 1 << 0
	confLegacy = 1 << 1
	confBits   = confEnable | confLegacy
)

// Bits of a comparator's configuration.
const (
	timerLevel    = 1 << 1
	timerEnable   = 1 << 2
	timerPeriodic = 1 << 3
	timerCanRun   = 1 << 4 // periodic
	timerWide     = 1 << 5
	timerSetValue = 1 << 6
	timer32       = 1 << 8
	timerRoute    = 0x1F << 9
	routeShift    = 9

	timerBits  = timerLevel | timerEnable | timerPeriodic | timerSetValue | timer32 | timerRoute
	timerFixed = timerCanRun | timerWide | Inputs<<32
)

// Config is how the timers are wired into the board.
type Config struct {
	Clock clock.Clock // nil for clock.Host
	// Line gives an input of the IOAPIC, one of Inputs; 2 and 8 are ISA interrupts 0 and 8. Each is told of changes only.
	Line func(input int) irq.Line
	// Legacy hears that comparator 0 takes the place of the 8254, which is to be silent then, or no longer does. It is called by a vCPU or by Restore,
	// with the device's lock held.
	Legacy func(on bool)
	Log    *slog.Logger // takes the panics of the timers; nil is silent
}

type comparator struct {
	config uint64
	value  uint64 // as the guest reads it
	period uint64 // ticks
	next   uint64 // count of the next match
	armed  bool
	timer  clock.Timer
}

// Device is the block of timers. It is a bus.Device of Size bytes and a state.Device.
type Device struct {
	cfg   Config
	lines [32]irq.Line

	mu     sync.Mutex
	config uint64
	status uint64 // of comparators whose interrupts are levels
	high   uint64 // inputs that are high
	count  uint64 // at start, or all the while when the counter stands still
	start  time.Time
	timers [Comparators]comparator
	paused bool
}

// New returns timers as after power-on.
func New(c Config) *Device {
	if c.Clock == nil {
		c.Clock = clock.Host
	}
	d := &Device{cfg: c, start: c.Clock.Now()}
	for i := range d.lines {
		if Inputs>>i&1 != 0 {
			d.lines[i] = c.Line(i)
		}
	}
	for i := range d.timers {
		t := &d.timers[i]
		t.value = ^uint64(0)
		t.timer = c.Clock.NewTimer(func() { d.expired(i) })
	}
	return d
}

// now is the counter.
func (d *Device) now() uint64 {
	if d.config&confEnable == 0 {
		return d.count
	}
	return d.count + uint64(max(d.cfg.Clock.Now().Sub(d.start), 0)/period)
}

// input is where comparator i interrupts.
func (d *Device) input(i int) int {
	if d.config&confLegacy != 0 && i < 2 {
		return [2]int{legacyTick, legacyRTC}[i]
	}
	return int(d.timers[i].config & timerRoute >> routeShift)
}

// arm computes the next match of comparator i, and has the host's timer wait for it.
func (d *Device) arm(i int) {
	t := &d.timers[i]
	now := d.now()
	t.armed = d.config&confEnable != 0 && t.config&(timerEnable|timerLevel) != 0
	switch {
	case t.config&timer32 != 0: // a value that has passed matches after the lower half has wrapped
		left := uint64(uint32(t.value) - uint32(now))
		if left == 0 {
			left = 1 << 32
		}
		t.next = now + left
	case t.value > now:
		t.next = t.value
	default:
		t.armed = false
	}
	d.wait(i)
}

// wait sets the host's timer of comparator i.
func (d *Device) wait(i int) {
	t := &d.timers[i]
	if !t.armed || d.paused {
		t.timer.Stop()
		return
	}
	const longest = uint64(time.Hour / period)
	left := min(t.next-min(t.next, d.now()), longest)
	t.timer.Reset(max(time.Duration(left)*period, shortest))
}

// expired is called by the host's timer of comparator i.
func (d *Device) expired(i int) {
	defer guard.Panic(d.cfg.Log, "HPET")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		return
	}
	d.match(i)
}

// match lets comparator i interrupt if its time has come, and looks for the next match.
func (d *Device) match(i int) {
	t := &d.timers[i]
	now := d.now()
	if !t.armed {
		return
	}
	if now < t.next {
		d.wait(i)
		return
	}
	d.fire(i)
	switch {
	case t.config&timerPeriodic != 0 && t.period != 0:
		missed := (now - t.next) / t.period
		t.value += (missed + 1) * t.period
		t.next += (missed + 1) * t.period
		if t.config&timer32 != 0 {
			t.value = uint64(uint32(t.value))
		}
		d.wait(i)
	default:
		d.arm(i)
	}
}

// fire interrupts for comparator i.
func (d *Device) fire(i int) {
	t := &d.timers[i]
	line := d.lines[d.input(i)]
	if t.config&timerLevel != 0 {
		d.status |= 1 << i
		d.drive()
		return
	}
	if t.config&timerEnable == 0 || line == nil || d.high>>d.input(i)&1 != 0 {
		return
	}
	line.SetLevel(true)
	line.SetLevel(false)
}

// drive sets the inputs that comparators hold high.
func (d *Device) drive() {
	if d.paused {
		return
	}
	var high uint64
	for i := range d.timers {
		if d.status>>i&1 != 0 && d.timers[i].config&(timerEnable|timerLevel) == timerEnable|timerLevel && d.config&confEnable != 0 {
			high |= 1 << d.input(i) & Inputs
		}
	}
	changed := high ^ d.high
	d.high = high
	for i, line := range d.lines {
		if changed>>i&1 != 0 {
			line.SetLevel(high>>i&1 != 0)
		}
	}
}
