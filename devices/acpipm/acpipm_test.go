package acpipm

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

var _ state.Device = (*Device)(nil)

// rig is a device on its ports.
type rig struct {
	t testing.TB
	*Device
	clock  *clock.Fake
	ports  *bus.Bus
	sci    bool
	events []PowerEvent
}

const (
	portSMI   = 0xB2
	portBlock = 0x600
	portReset = 0xCF9
)

func newRig(t testing.TB) *rig {
	r := &rig{t: t, clock: clock.NewFake(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)), ports: bus.New("port", nil)}
	r.Device = New(Config{
		Line:   irq.LineFunc(func(high bool) { r.sci = high }),
		Clock:  r.clock,
		Notify: func(e PowerEvent) { r.events = append(r.events, e) },
		S3:     5, S4: 6, S5: 7,
		Enable: 2, Disable: 3,
	})
	for _, m := range []struct {
		base, size uint64
		dev        bus.Device
	}{{portBlock, BlockSize, r.Block()}, {portSMI, SMISize, r.SMI()}, {portReset, ResetSize, r.ResetPort()}} {
		if err := r.ports.Map(m.base, m.size, m.dev); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) in16(port uint64) uint16 {
	var b [2]byte
	r.ports.Read(port, b[:])
	return binary.LittleEndian.Uint16(b[:])
}

func (r *rig) in32(port uint64) uint32 {
	var b [4]byte
	r.ports.Read(port, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (r *rig) out8(port uint64, v uint8) { r.ports.Write(port, []byte{v}) }

func (r *rig) out16(port uint64, v uint16) {
	r.ports.Write(port, binary.LittleEndian.AppendUint16(nil, v))
}

func (r *rig) want(what string, got, want uint64) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s is %#x, want %#x", what, got, want)
	}
}

func (r *rig) wantEvents(want ...PowerEvent) {
	r.t.Helper()
	if !slices.Equal(r.events, want) {
		r.t.Errorf("events %v, want %v", r.events, want)
	}
	r.events = nil
}

func TestEnableACPI(t *testing.T) {
	r := newRig(t)
	r.want("control", uint64(r.in16(0x604)), 0)
	r.out8(portSMI, 2)
	r.want("control", uint64(r.in16(0x604)), controlSCI)
	r.out16(0x604, 0) // the guest cannot clear it here
	r.want("control", uint64(r.in16(0x604)), controlSCI)
	r.want("APM control", uint64(r.in16(portSMI)), 2)
	r.out8(portSMI, 3)
	r.want("control", uint64(r.in16(0x604)), 0)
	r.out16(portSMI, 0x5599)
	r.want("APM", uint64(r.in16(portSMI)), 0x5599)
}

// TestTakenOver counts how often a guest takes over; what it says about that may use the device.
func TestTakenOver(t *testing.T) {
	r := newRig(t)
	taken := 0
	r.cfg.TakenOver = func() {
		taken++
		r.want("control", uint64(r.in16(0x604)), controlSCI)
	}
	r.out16(0x604, controlSCI)
	r.out8(portSMI+1, 2)
	r.out8(portSMI, 3)
	if taken != 0 {
		t.Errorf("taken over %d times before the guest asks", taken)
	}
	if r.out8(portSMI, 2); taken != 1 {
		t.Errorf("taken over %d times", taken)
	}
}

func TestSoftOff(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(r *rig)
		want  []PowerEvent
	}{
		{"S5", func(r *rig) { r.out16(0x604, 7<<10|controlSleep) }, []PowerEvent{SoftOff}},
		{"S5 in two steps", func(r *rig) { r.out16(0x604, 7<<10); r.out16(0x604, 7<<10|controlSleep) }, []PowerEvent{SoftOff}},
		{"S5 by the upper byte", func(r *rig) { r.out8(0x605, 7<<2|1<<5) }, []PowerEvent{SoftOff}},
		{"S5 by four bytes", func(r *rig) { r.ports.Write(0x604, []byte{0, 7<<2 | 1<<5, 0, 0}) }, []PowerEvent{SoftOff}},
		{"S4", func(r *rig) { r.out16(0x604, 6<<10|controlSleep) }, []PowerEvent{Hibernate}},
		{"S3", func(r *rig) { r.out16(0x604, 5<<10|controlSleep) }, []PowerEvent{Suspend}},
		{"S0", func(r *rig) { r.out16(0x604, controlSleep) }, nil},
		{"S1", func(r *rig) { r.out16(0x604, 1<<10|controlSleep) }, nil},
		{"type without enable", func(r *rig) { r.out16(0x604, 7<<10) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.write(r)
			r.wantEvents(c.want...)
			if v := r.in16(0x604); v&controlSleep != 0 {
				t.Errorf("SLP_EN reads back: %#x", v)
			}
		})
	}
}

// EFI firmware for QEMU's board powers off by a SLP_TYP of zero.
func TestOffByZero(t *testing.T) {
	r := newRig(t)
	r.cfg.OffByZero = true
	r.out16(0x604, 0)
	r.wantEvents()
	r.out16(0x604, controlSleep)
	r.wantEvents(SoftOff)
}

func TestPowerButton(t *testing.T) {
	r := newRig(t)
	if r.PressPowerButton() {
		t.Error("heard before ACPI is enabled")
	}
	r.out16(0x600, 0xFFFF)
	r.out8(portSMI, 2)
	r.out16(0x602, eventButton)
	if !r.PressPowerButton() || !r.sci {
		t.Error("the button raises no SCI")
	}
	r.want("status", uint64(r.in16(0x600)), eventButton)
	r.out16(0x600, eventButton|eventTimer)
	r.want("status", uint64(r.in16(0x600)), 0)
	if r.sci {
		t.Error("the SCI stays after the status is cleared")
	}
	r.PressPowerButton()
	r.out16(0x602, 0)
	if r.sci {
		t.Error("the SCI stays with the event disabled")
	}
	r.wantEvents()
}

func TestEnableMask(t *testing.T) {
	r := newRig(t)
	r.out16(0x602, 0xFFFF)
	r.want("enable", uint64(r.in16(0x602)), enableBits)
	r.out8(0x603, 0)
	r.want("enable", uint64(r.in16(0x602)), enableBits&0xFF)
}

func TestPMTimer(t *testing.T) {
	r := newRig(t)
	r.want("count", uint64(r.in32(0x608)), 0)
	for range 1000 {
		r.clock.Advance(time.Millisecond)
		r.in32(0x608) // reading often must not lose fractions of a tick
	}
	if got := r.in32(0x608); got < timerHz-1 || got > timerHz {
		t.Errorf("%d ticks after a second", got)
	}
	r.clock.Advance(time.Hour)
	want := uint64(3601 * timerHz)
	if got := uint64(r.in32(0x608)); got != want&0xFFFFFFFF && got != (want-1)&0xFFFFFFFF {
		t.Errorf("%d after an hour, want %d", got, want&0xFFFFFFFF)
	}
	r.ports.Write(0x608, []byte{1, 2, 3, 4})
	if got := uint64(r.in32(0x608)); got == 0x04030201 {
		t.Error("the timer can be written")
	}
}

func TestPMTimerCarry(t *testing.T) {
	half := duration(1<<31) + time.Microsecond // about ten minutes
	r := newRig(t)
	r.clock.Advance(half)
	r.want("status", uint64(r.in16(0x600)), eventTimer)
	if r.clock.Running() != 0 || r.sci {
		t.Error("a timer runs, though no interrupt is enabled")
	}
	r.out16(0x600, eventTimer)
	r.out8(portSMI, 2)
	r.out16(0x602, eventTimer)
	r.clock.Advance(half - time.Second)
	if r.sci {
		t.Fatal("too early")
	}
	r.clock.Advance(time.Second)
	if !r.sci {
		t.Fatal("no SCI at the carry")
	}
	r.out16(0x600, eventTimer)
	r.want("status", uint64(r.in16(0x600)), 0)
	if r.clock.Running() != 1 {
		t.Error("nothing waits for the next carry")
	}
}

// TestPanickingTimer has the timer's goroutine panic: the machine stays, and so does the device.
func TestPanickingTimer(t *testing.T) {
	var log bytes.Buffer
	fake := clock.NewFake(time.Time{})
	broken := true
	d := New(Config{Clock: fake, Enable: 2, Log: slog.New(slog.NewTextHandler(&log, nil)), Line: irq.LineFunc(func(bool) {
		if broken {
			panic("a line that is not there")
		}
	})})
	d.SMI().Write(0, []byte{2})
	d.Block().Write(regEnable, []byte{eventTimer})
	fake.Advance(duration(1 << 32))
	if !strings.Contains(log.String(), "a line that is not there") {
		t.Errorf("the log says %q", log.String())
	}
	broken = false
	b := make([]byte, 2)
	if d.Block().Read(regStatus, b); b[0]&eventTimer == 0 {
		t.Errorf("status % x", b)
	}
}

func TestGPE(t *testing.T) {
	r := newRig(t)
	r.out8(portSMI, 2)
	r.Signal(9)
	if r.sci {
		t.Error("SCI for an event that is not enabled")
	}
	r.out8(0x629, 0x02)
	if !r.sci {
		t.Error("no SCI")
	}
	r.want("status", uint64(r.in16(0x620)), 0x0200)
	r.want("enable", uint64(r.in16(0x628)), 0x0200)
	r.out8(0x621, 0x02)
	r.want("status", uint64(r.in16(0x620)), 0)
	if r.sci {
		t.Error("the SCI stays")
	}
}

func TestReset(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []uint8
		want   []PowerEvent
	}{
		{"prepare only", []uint8{2}, nil},
		{"Linux by CF9", []uint8{2, 6}, []PowerEvent{Reset}},
		{"ACPI reset register", []uint8{0x0E}, []PowerEvent{Reset}},
		{"at once", []uint8{6}, []PowerEvent{Reset}},
		{"full reset in two steps", []uint8{0x0A, 0x0E}, []PowerEvent{Reset}},
		{"other bits", []uint8{0xF1}, nil},
	} {
		r := newRig(t)
		for _, v := range c.writes {
			r.out8(portReset, v)
		}
		r.wantEvents(c.want...)
		var b [1]byte
		r.ports.Read(portReset, b[:])
		if last := c.writes[len(c.writes)-1]; b[0] != last&0x0E {
			t.Errorf("%s: reads %#x", c.name, b[0])
		}
	}
}

func TestWake(t *testing.T) {
	r := newRig(t)
	r.Wake(WokenByUser)
	r.want("status", uint64(r.in16(0x600)), statusWake)
	r.want("control", uint64(r.in16(0x604)), controlSCI)
	r.Wake(WokenByButton)
	r.want("status", uint64(r.in16(0x600)), statusWake|eventButton)
	r.Wake(WokenByClock)
	r.want("status", uint64(r.in16(0x600)), statusWake|eventButton|eventRTC)
}

func TestHolesReadZero(t *testing.T) {
	r := newRig(t)
	for at := uint64(0x630); at < 0x680; at += 8 {
		b := bytes.Repeat([]byte{0xAA}, 8)
		r.ports.Write(at, b)
		r.ports.Read(at, b)
		if !bytes.Equal(b, make([]byte, 8)) {
			t.Errorf("%#x reads % x", at, b)
		}
	}
}

func TestNoSMM(t *testing.T) {
	d := New(Config{Line: irq.LineFunc(func(bool) {}), NoSMM: true})
	b := make([]byte, 4)
	d.Block().Write(0x30, b)
	if d.Block().Read(0x30, b); !bytes.Equal(b, []byte{0x20, 0, 0, 0}) {
		t.Errorf("SMI_EN is % x", b)
	}
}

func TestStateCycle(t *testing.T) {
	r := newRig(t)
	r.out8(portSMI, 2)
	r.out16(0x602, eventButton|eventTimer)
	r.clock.Advance(time.Second)
	r.Signal(3)
	r.PressPowerButton()
	var q *rig
	statetest.Cycle(t, r.Device, func() state.Device {
		q = newRig(t)
		return q.Device
	})
	if r.clock.Running() != 0 {
		t.Error("a timer runs while paused")
	}
	if !q.sci {
		t.Error("the pending SCI is gone")
	}
	q.want("status", uint64(q.in16(0x600)), eventButton)
	q.want("event", uint64(q.in16(0x620)), 8)
	q.clock.Advance(time.Second)
	if got := q.in32(0x608); got < 2*timerHz-2 || got > 2*timerHz {
		t.Errorf("timer at %d after restoring", got)
	}
}

func TestRestoreRefuses(t *testing.T) {
	var w state.Writer
	newRig(t).Save(&w)
	good := w.Data()
	for i := range good {
		if newRig(t).Restore(state.NewReader(good[:i])) == nil {
			t.Errorf("accepted %d of %d bytes", i, len(good))
		}
	}
	registers := 4 + len(stateName) + 2
	for off, v := range map[int]byte{registers + 2: 0x80, registers + 5: 0x80, registers + 6: 15, len(good) - 9: 0x10} {
		bad := bytes.Clone(good)
		bad[off] = v
		if newRig(t).Restore(state.NewReader(bad)) == nil {
			t.Errorf("accepted %#x at %d", v, off)
		}
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0x40, 2, 0x12, 1, 0x13, 1, 0xFE, 200, 0x15, 0x3C, 0xFF, 0, 0x81, 6})
	f.Add([]byte{0x38, 0xFF, 0xFD, 3, 0x30, 0xFF, 0x08, 0, 0xFF, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t)
		if len(ops) > 1000 {
			ops = ops[:1000]
		}
		for ; len(ops) >= 2; ops = ops[2:] {
			op, v := ops[0], ops[1]
			switch {
			case op == 0xFF:
				q := newRig(t)
				statetest.Hand(t, r, q)
				r = q
			case op == 0xFE:
				r.clock.Advance(time.Duration(v) * 7 * time.Second)
			case op == 0xFD:
				r.Signal(uint(v) % GPEs)
			case op&0x80 != 0:
				r.out8(portReset, v)
			case op&0x40 != 0:
				r.out8(portSMI+uint64(op&1), v)
			default:
				p := bytes.Repeat([]byte{v}, 1+int(v&7))
				r.ports.Write(portBlock+uint64(op&0x3F), p)
				r.ports.Read(portBlock+uint64(op&0x3F), p)
			}
			if r.sci && r.control&controlSCI == 0 {
				t.Fatal("SCI while ACPI is off")
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	var w state.Writer
	newRig(f).Save(&w)
	f.Add(w.Data())
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRig(t)
		if r.Restore(state.NewReader(data)) == nil {
			r.Resume()
			r.clock.Advance(time.Hour)
			r.in32(0x608)
		}
	})
}

func BenchmarkTimerRead(b *testing.B) {
	d := New(Config{Line: irq.LineFunc(func(bool) {})}).Block()
	p := make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		d.Read(regTimer, p)
	}
}
