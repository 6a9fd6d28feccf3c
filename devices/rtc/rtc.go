package rtc

import (
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/irq"
)

// Size is how many I/O ports the device takes: index and data of the clock with the lower 128 bytes, then of the upper 128 bytes.
const Size = 4

const (
	bankSize = 128
	ramSize  = 2 * bankSize
)

// Registers.
const (
	regSecond      = 0x00
	regSecondAlarm = 0x01
	regMinute      = 0x02
	regMinuteAlarm = 0x03
	regHour        = 0x04
	regHourAlarm   = 0x05
	regWeekday     = 0x06
	regDay         = 0x07
	regMonth       = 0x08
	regYear        = 0x09
	regA           = 0x0A
	regB           = 0x0B
	regC           = 0x0C
	regD           = 0x0D
	regCentury     = 0x32
)

const (
	aUpdating     = 1 << 7
	aDivider      = 7 << 4
	aDividerReset = 6 << 4 // with either value of the lowest bit
	aDividerMask  = 6 << 4
	aRate         = 0x0F
	aReset        = 0x26 // 32768 Hz crystal, 1024 Hz periodic rate

	bSet      = 1 << 7
	bPeriodic = 1 << 6
	bAlarm    = 1 << 5
	bUpdate   = 1 << 4
	bBinary   = 1 << 2
	b24Hour   = 1 << 1

	cRequest   = 1 << 7
	cInterrupt = bPeriodic | bAlarm | bUpdate // flags have the places of their enable bits

	dValid = 1 << 7

	pm      = 1 << 7 // of the hour
	anytime = 0xC0   // an alarm byte with these bits matches always
)

const (
	updateWarning = 244 * time.Microsecond // UIP rises this long before the second does
	halfSecond    = 500 * time.Millisecond // from the divider's start to the first update
)

// Config is what a clock is connected to.
type Config struct {
	Line irq.Line
	// Clock is the host's, nil for clock.Host. The guest's clock starts at its wall time and follows it until the guest sets it.
	Clock clock.Clock
	// Location is the zone that the registers are in: nil is UTC, time.Local suits Windows.
	Location *time.Location
	// Offset is added to the time at the start.
	Offset time.Duration
	// LowMemory and HighMemory are the bytes of RAM below and from 4 GiB on, which firmware reads from CMOS memory.
	LowMemory, HighMemory uint64
	CPUs                  int
	// Log takes the panics of the clock's timer; nil is silent.
	Log *slog.Logger
}

// RTC is the clock. It is a bus.Device of Size ports and a state.Device.
type RTC struct {
	line  irq.Line
	clock clock.Clock
	log   *slog.Logger

	mu     sync.Mutex
	index  [2]uint8 // of each bank
	ram    [ramSize]uint8
	base   time.Time // the guest's time, as UTC, when the host had anchor
	anchor time.Time
	seen   time.Time   // the guest's time up to which register C's flags are right
	timer  clock.Timer // nil until an interrupt is enabled
	high   bool        // level of line
	paused bool
}

// New returns a clock with the right time and default CMOS contents.
func New(c Config) *RTC {
	r := &RTC{line: c.Line, clock: c.Clock, log: c.Log}
	if r.clock == nil {
		r.clock = clock.Host
	}
	zone := c.Location
	if zone == nil {
		zone = time.UTC
	}
	r.anchor = r.now()
	t := r.anchor.Add(c.Offset).In(zone)
	r.base = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	r.seen = r.base
	r.ram[regA], r.ram[regB], r.ram[regD] = aReset, b24Hour, dValid
	r.fillCMOS(c)
	return r
}

// now is the host's wall time: without the monotonic reading it goes on while the host sleeps.
func (r *RTC) now() time.Time { return r.clock.Now().Round(0) }

// guest is the time that the registers show while they run.
func (r *RTC) guest() time.Time { return r.base.Add(r.now().Sub(r.anchor)) }

// Read implements bus.Device.
func (r *RTC) Read(offset uint64, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range p {
		port := (offset + uint64(i)) % Size
		if port%2 == 0 {
			p[i] = 0xFF // the index cannot be read
			continue
		}
		p[i] = r.read(port/2*bankSize + uint64(r.index[port/2]))
	}
}

// Write implements bus.Device.
func (r *RTC) Write(offset uint64, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range p {
		port := (offset + uint64(i)) % Size
		if port%2 == 0 {
			r.index[port/2] = v % bankSize // bit 7 of the first masks NMI, of which there is none
			continue
		}
		r.write(port/2*bankSize+uint64(r.index[port/2]), v)
	}
}

// read returns a byte of either bank.
func (r *RTC) read(reg uint64) uint8 {
	switch {
	case isTime(reg) && !r.stopped():
		return r.timeRegister(reg, r.guest())
	case reg == regA:
		v := r.ram[regA]
		if !r.stopped() && r.guest().Add(updateWarning).Second() != r.guest().Second() {
			v |= aUpdating
		}
		return v
	case reg == regC:
		r.settle()
		v := r.ram[regC]
		if r.requesting() {
			v |= cRequest
		}
		r.ram[regC] = 0
		r.update()
		return v
	}
	return r.ram[reg]
}

// write stores a byte of either bank.
func (r *RTC) write(reg uint64, v uint8) {
	switch {
	case isTime(reg):
		if r.stopped() {
			r.ram[reg] = v
			break
		}
		// A running clock takes the new field and goes on from the same fraction of the second.
		r.settle()
		r.latch()
		r.ram[reg] = v
		r.start(time.Duration(r.guest().Nanosecond()))
	case reg == regSecondAlarm, reg == regMinuteAlarm, reg == regHourAlarm:
		r.settle()
		r.ram[reg] = v
	case reg == regA:
		r.control(v&^aUpdating, r.ram[regB])
	case reg == regB:
		if v&bSet != 0 {
			v &^= bUpdate
		}
		r.control(r.ram[regA], v)
	case reg == regC, reg == regD:
	default:
		r.ram[reg] = v
	}
	r.update()
}

// control changes registers A and B, and stops or starts the clock as they say.
func (r *RTC) control(a, b uint8) {
	r.settle()
	wasStopped, wasReset := r.stopped(), r.dividerReset()
	if !wasStopped {
		r.latch()
	}
	r.ram[regA], r.ram[regB] = a, b
	switch {
	case !wasStopped || r.stopped():
	case wasReset:
		r.start(halfSecond)
	default:
		r.start(time.Duration(r.guest().Nanosecond()))
	}
	r.seen = r.guest()
}

// stopped says whether the time registers stand still and are the guest's to write.
func (r *RTC) stopped() bool { return r.ram[regB]&bSet != 0 || r.dividerReset() }

func (r *RTC) dividerReset() bool { return r.ram[regA]&aDividerMask == aDividerReset }

// latch stores the running time in the registers.
func (r *RTC) latch() {
	t := r.guest()
	for _, reg := range timeRegisters {
		r.ram[reg] = r.timeRegister(reg, t)
	}
}

// start makes the time in the registers, plus a fraction of a second, the guest's time.
func (r *RTC) start(fraction time.Duration) {
	r.anchor = r.now()
	r.base = r.registersTime().Add(fraction)
	r.seen = r.base
}
