package rtc

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

var (
	_ bus.Device   = (*RTC)(nil)
	_ state.Device = (*RTC)(nil)
)

// start is a Sunday, a second before noon.
var start = time.Date(2031, time.March, 9, 11, 59, 59, 0, time.UTC)

type line struct {
	mu   sync.Mutex
	high bool
	up   int
}

func (l *line) SetLevel(high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if high && !l.high {
		l.up++
	}
	l.high = high
}

// chip is a clock as a driver sees it, with time that moves by hand.
type chip struct {
	t testing.TB
	*RTC
	*clock.Fake
	line *line
}

func newChip(t testing.TB, c Config) chip {
	k := chip{t: t, Fake: clock.NewFake(start), line: &line{}}
	c.Line, c.Clock = k.line, k.Fake
	k.RTC = New(c)
	return k
}

func (k chip) get(reg uint8) uint8 {
	var b [1]byte
	k.Write(0, []byte{reg})
	k.Read(1, b[:])
	return b[0]
}

func (k chip) set(reg, v uint8) { k.Write(0, []byte{reg, v}) }

func (k chip) want(what string, got, want uint8) {
	k.t.Helper()
	if got != want {
		k.t.Errorf("%s is %#02x, want %#02x", what, got, want)
	}
}

// date reads century to second.
func (k chip) date() (d [7]uint8) {
	for i, reg := range []uint8{regCentury, regYear, regMonth, regDay, regHour, regMinute, regSecond} {
		d[i] = k.get(reg)
	}
	return d
}

func (k chip) wantDate(want ...uint8) {
	k.t.Helper()
	if got := k.date(); !bytes.Equal(got[:], want) {
		k.t.Errorf("the clock shows % x, want % x", got, want)
	}
}

func TestTime(t *testing.T) {
	k := newChip(t, Config{})
	k.wantDate(0x20, 0x31, 0x03, 0x09, 0x11, 0x59, 0x59)
	k.want("weekday", k.get(regWeekday), 1)
	k.Advance(time.Second)
	k.wantDate(0x20, 0x31, 0x03, 0x09, 0x12, 0x00, 0x00)
	k.Advance(12 * time.Hour)
	k.wantDate(0x20, 0x31, 0x03, 0x10, 0x00, 0x00, 0x00)
	k.want("weekday", k.get(regWeekday), 2)
	k.want("register D", k.get(regD), 0x80)
}

func TestFormats(t *testing.T) {
	k := newChip(t, Config{})
	for _, c := range []struct {
		b    uint8
		at   time.Duration
		hour uint8
		year uint8
	}{
		{b24Hour, 0, 0x11, 0x31},
		{b24Hour | bBinary, 0, 11, 31},
		{0, 0, 0x11, 0x31},
		{0, time.Second, 0x92, 0x31},     // noon is 12 PM
		{bBinary, time.Second, 0x8C, 31}, //
		{0, 11 * time.Hour, 0x90, 0x31},  // 22:59
		{0, 13 * time.Hour, 0x12, 0x31},  // after midnight it is 12 AM
		{bBinary, 14 * time.Hour, 1, 31}, // 01:59
	} {
		k := newChip(t, Config{Offset: c.at})
		k.set(regB, c.b)
		k.want("hour", k.get(regHour), c.hour)
		k.want("year", k.get(regYear), c.year)
		// What the clock shows it must also understand.
		k.set(regHour, c.hour)
		k.want("hour written back", k.get(regHour), c.hour)
	}
	k.want("register B after reset", k.get(regB), b24Hour)
}

func TestZone(t *testing.T) {
	k := newChip(t, Config{Location: time.FixedZone("east", 2*3600)})
	k.want("hour", k.get(regHour), 0x13)
}

// Setting the time as Linux does: SET, divider reset, registers, back. The first update comes half a second later.
func TestSetTime(t *testing.T) {
	k := newChip(t, Config{})
	k.Advance(100 * time.Millisecond)
	k.set(regB, b24Hour|bSet)
	k.set(regA, 0x76)
	for reg, v := range map[uint8]uint8{regSecond: 0x58, regMinute: 0x59, regHour: 0x23, regDay: 0x31, regMonth: 0x12, regYear: 0x99, regCentury: 0x19} {
		k.set(reg, v)
	}
	k.Advance(5 * time.Second)
	k.wantDate(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58)
	k.set(regB, b24Hour)
	k.Advance(5 * time.Second)
	k.wantDate(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58)
	k.set(regA, aReset)
	k.Advance(499 * time.Millisecond)
	k.wantDate(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58)
	k.Advance(2 * time.Millisecond)
	k.wantDate(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59)
	k.Advance(time.Second)
	k.wantDate(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00)
}

// SET alone holds the registers, and the clock goes on from the same fraction of a second.
func TestSetKeepsFraction(t *testing.T) {
	k := newChip(t, Config{})
	k.Advance(700 * time.Millisecond)
	k.set(regB, b24Hour|bSet)
	k.set(regHour, 0x05)
	k.set(regB, b24Hour)
	k.Advance(299 * time.Millisecond)
	k.want("second", k.get(regSecond), 0x59)
	k.Advance(time.Millisecond)
	k.wantDate(0x20, 0x31, 0x03, 0x09, 0x06, 0x00, 0x00)
}

func TestWriteRunningClock(t *testing.T) {
	k := newChip(t, Config{})
	k.Advance(999 * time.Millisecond)
	k.set(regMinute, 0x30)
	k.wantDate(0x20, 0x31, 0x03, 0x09, 0x11, 0x30, 0x59)
	k.Advance(time.Millisecond)
	k.wantDate(0x20, 0x31, 0x03, 0x09, 0x11, 0x31, 0x00)
}

func TestNonsenseTime(t *testing.T) {
	for v := range 256 {
		for _, reg := range timeRegisters {
			for _, b := range []uint8{0, b24Hour, bBinary, b24Hour | bBinary} {
				k := newChip(t, Config{})
				k.set(regB, b)
				k.set(uint8(reg), uint8(v))
				k.date()
			}
		}
	}
}

func TestUpdateInProgress(t *testing.T) {
	k := newChip(t, Config{})
	for _, c := range []struct {
		at time.Duration
		up uint8
	}{{0, 0}, {500 * time.Millisecond, 0}, {499_700 * time.Microsecond, 0}, {100 * time.Microsecond, aUpdating}, {200 * time.Microsecond, 0}} {
		k.Advance(c.at)
		k.want("UIP", k.get(regA)&aUpdating, c.up)
	}
	k.Advance(time.Second - 100*time.Microsecond)
	k.want("UIP", k.get(regA)&aUpdating, aUpdating)
	k.set(regB, bSet|b24Hour)
	k.want("UIP under SET", k.get(regA)&aUpdating, 0)
}

// The whole of Linux's boot-time read takes two looks at most: no second is waited for.
func TestReadIsQuick(t *testing.T) {
	k := newChip(t, Config{})
	for range 2 {
		if k.get(regA)&aUpdating == 0 {
			return
		}
		k.Advance(time.Millisecond)
	}
	t.Error("an update is in progress for more than a millisecond")
}

func TestFlagsWithoutInterrupts(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regSecondAlarm, 0xC0)
	k.set(regMinuteAlarm, 0xFF)
	k.set(regHourAlarm, 0x12)
	k.want("C", k.get(regC), 0)
	k.Advance(time.Millisecond)
	k.want("C within a second", k.get(regC), bPeriodic)
	k.Advance(time.Second)
	k.want("C after noon", k.get(regC), bPeriodic|bAlarm|bUpdate)
	k.want("C again", k.get(regC), 0)
	if k.Running() != 0 || k.line.up != 0 {
		t.Errorf("%d timers, %d interrupts, though none is enabled", k.Running(), k.line.up)
	}
}

func TestUpdateInterrupt(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regB, b24Hour|bUpdate)
	for i := 1; i <= 3; i++ {
		k.Advance(time.Second)
		if !k.line.high || k.line.up != i {
			t.Fatalf("second %d: level %v, %d interrupts", i, k.line.high, k.line.up)
		}
		if k.Running() != 0 {
			t.Error("a timer runs while the interrupt waits for the guest")
		}
		k.want("C", k.get(regC)&^bPeriodic, cRequest|bUpdate)
		if k.line.high {
			t.Error("reading C does not take the interrupt back")
		}
	}
	k.set(regB, b24Hour|bUpdate|bSet)
	k.want("B", k.get(regB), b24Hour|bSet) // SET takes the update interrupt away
	k.Advance(5 * time.Second)
	if k.line.high || k.Running() != 0 {
		t.Error("update interrupt under SET")
	}
}

func TestAlarmInterrupt(t *testing.T) {
	for _, c := range []struct {
		name    string
		h, m, s uint8
		b       uint8
		after   time.Duration
	}{
		{"next second", 0xFF, 0xFF, 0xFF, b24Hour, time.Second},
		{"at noon", 0x12, 0x00, 0x00, b24Hour, time.Second},
		{"at 12 PM", 0x92, 0x00, 0x00, 0, time.Second},
		{"each hour", 0xC0, 0x00, 0x30, b24Hour, 31 * time.Second},
		{"each minute", 0xC0, 0xC0, 0x07, b24Hour, 8 * time.Second},
		{"in binary", 13, 15, 59, b24Hour | bBinary, time.Hour + 16*time.Minute},
		{"this second tomorrow", 0x11, 0x59, 0x59, b24Hour, 24 * time.Hour},
		{"in an hour without minutes", 0x15, 0xC0, 0xC0, b24Hour, 3*time.Hour + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newChip(t, Config{})
			k.set(regB, c.b)
			k.set(regHourAlarm, c.h)
			k.set(regMinuteAlarm, c.m)
			k.set(regSecondAlarm, c.s)
			k.set(regB, c.b|bAlarm)
			k.Advance(c.after - time.Nanosecond)
			if k.line.high {
				t.Fatal("too early")
			}
			k.Advance(time.Nanosecond)
			if !k.line.high {
				t.Fatal("no interrupt")
			}
			k.want("C", k.get(regC)&(cRequest|bAlarm), cRequest|bAlarm)
		})
	}
}

func TestAlarmThatNeverComes(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regHourAlarm, 0x25)
	k.set(regB, b24Hour|bAlarm)
	k.Advance(72 * time.Hour)
	if k.line.high || k.Running() != 0 {
		t.Errorf("level %v, %d timers", k.line.high, k.Running())
	}
}

func TestPeriodicInterrupt(t *testing.T) {
	for rate, hz := range map[uint8]int{1: 256, 2: 128, 3: 8192, 6: 1024, 15: 2} {
		k := newChip(t, Config{})
		k.set(regA, 0x20|rate)
		k.set(regB, b24Hour|bPeriodic)
		for range hz {
			k.Advance(time.Second / time.Duration(hz))
			k.get(regC)
		}
		if k.line.up < hz-1 || k.line.up > hz {
			t.Errorf("rate %d: %d interrupts a second, want %d", rate, k.line.up, hz)
		}
	}
	k := newChip(t, Config{})
	k.set(regA, 0x20)
	k.set(regB, b24Hour|bPeriodic)
	if k.Running() != 0 {
		t.Error("a timer runs at rate zero")
	}
}

// The guest's clock follows the host's when that is put right or sleeps.
func TestHostClockStepsBack(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regB, b24Hour|bUpdate)
	k.Advance(-time.Hour)
	k.want("hour", k.get(regHour), 0x10)
	k.Advance(time.Second)
	k.get(regC)
	k.want("second", k.get(regSecond), 0x00)
}

func TestCMOS(t *testing.T) {
	k := newChip(t, Config{LowMemory: 0x80000000, HighMemory: 0x140000000, CPUs: 4})
	word := func(reg uint8) int { return int(k.get(reg)) | int(k.get(reg+1))<<8 }
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"base memory", word(cmosBaseMemory), 640},
		{"extended memory", word(cmosExtended), 0xFFFF},
		{"extended memory again", word(cmosExtended2), 0xFFFF},
		{"above 16 MiB", word(cmosAbove16M), 0x7F00},
		{"above 4 GiB", word(cmosAbove4G) | int(k.get(cmosAbove4G+2))<<16, 0x14000},
		{"processors", int(k.get(cmosCPUs)), 3},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, c.got, c.want)
		}
	}
	small := newChip(t, Config{LowMemory: 512 << 10})
	small.want("extended memory of a small machine", small.get(cmosExtended), 0)

	k.set(0x40, 0x77)
	k.want("free byte", k.get(0x40), 0x77)
	k.want("the same behind the NMI mask", k.get(0xC0), 0x77)
	k.Write(2, []byte{0x40, 0x88})
	k.want("the lower bank", k.get(0x40), 0x77)
	var b [4]byte
	k.Read(0, b[:])
	if b != [4]byte{0xFF, 0x77, 0xFF, 0x88} {
		t.Errorf("% x", b)
	}
}

func TestReadOnly(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regC, 0xFF)
	k.set(regD, 0)
	k.set(regA, 0xFF)
	k.want("C", k.get(regC), 0)
	k.want("D", k.get(regD), 0x80)
	k.want("A", k.get(regA), 0x7F)
}

func TestStateCycle(t *testing.T) {
	k := newChip(t, Config{})
	k.set(regHour, 0x03)
	k.set(0x50, 0x99)
	k.set(regB, b24Hour|bUpdate)
	var q chip
	statetest.Cycle(t, k.RTC, func() state.Device {
		q = newChip(t, Config{})
		q.Advance(10 * time.Minute) // the snapshot lay about
		return q.RTC
	})
	if k.Running() != 0 {
		t.Error("a timer runs in a paused clock")
	}
	q.wantDate(0x20, 0x31, 0x03, 0x09, 0x04, 0x09, 0x59)
	q.want("CMOS", q.get(0x50), 0x99)
	if !q.line.high {
		t.Error("the update interrupt that fell due is missing")
	}

	k.Resume()
	k.Advance(time.Second)
	if !k.line.high {
		t.Error("no interrupt after resuming")
	}
}

func TestRestoreRefuses(t *testing.T) {
	var w state.Writer
	newChip(t, Config{}).Save(&w)
	good := w.Data()
	for i := range good {
		if newChip(t, Config{}).Restore(state.NewReader(good[:i])) == nil {
			t.Errorf("accepted %d of %d bytes", i, len(good))
		}
	}
	ram := len(good) - 3*12 - ramSize
	for off, v := range map[int]byte{ram - 6: 0x80, ram - 5: 0x80, ram - 4: 0xFF, ram + regA: 0x80, ram + regB: 0x90, ram + regC: 0x80, len(good) - 1: 0xFF, len(good) - 5: 0x10} {
		bad := bytes.Clone(good)
		bad[off] = v
		if newChip(t, Config{}).Restore(state.NewReader(bad)) == nil {
			t.Errorf("accepted %#x at %d", v, off-ram)
		}
	}
}

func FuzzRTC(f *testing.F) {
	f.Add([]byte{0x10, 0x0B, 0x11, 0x72, 0xFE, 10, 0x10, 0x0C, 0x01, 0, 0xFF, 0})
	f.Add([]byte{0x10, 0x0B, 0x11, 0x80, 0x10, 0x09, 0x11, 0xFF, 0x10, 0x32, 0x11, 0xFF, 0x10, 0x0B, 0x11, 0x24, 0xFE, 255, 0xFF, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		k := newChip(t, Config{})
		if len(ops) > 400 {
			ops = ops[:400] // each may advance by hundreds of timer ticks
		}
		for ; len(ops) >= 2; ops = ops[2:] {
			port, width := uint64(ops[0]&3), 1+int(ops[0]>>5&3)
			width = min(width, Size-int(port))
			switch {
			case ops[0] == 0xFF:
				q := newChip(t, Config{})
				q.Fake.Advance(k.Now().Sub(q.Now()))
				statetest.Hand(t, k, q)
				k = q
			case ops[0] == 0xFE:
				k.Advance(time.Duration(ops[1]) * 3 * time.Millisecond)
			case ops[0]&0x10 != 0:
				k.Write(port, bytes.Repeat(ops[1:2], width))
			default:
				k.Read(port, make([]byte, width))
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	var w state.Writer
	newChip(f, Config{}).Save(&w)
	f.Add(w.Data())
	f.Fuzz(func(t *testing.T, data []byte) {
		k := newChip(t, Config{})
		if k.Restore(state.NewReader(data)) != nil {
			return
		}
		k.Resume()
		k.Advance(time.Minute)
		k.date()
		k.Write(0, make([]byte, 4))
	})
}

func BenchmarkRead(b *testing.B) {
	r := New(Config{Line: irq.LineFunc(func(bool) {})})
	r.Write(0, []byte{regSecond})
	p := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		r.Read(1, p)
	}
}
