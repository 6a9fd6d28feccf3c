package hpet

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

type rig struct {
	*Device
	clock  *clock.Fake
	rises  [32]int
	level  [32]bool
	legacy bool
}

func newRig(t testing.TB) *rig {
	r := &rig{clock: clock.NewFake(time.Time{})}
	r.Device = New(Config{
		Clock: r.clock,
		Line: func(n int) irq.Line {
			return irq.LineFunc(func(high bool) {
				if r.level[n] == high {
					t.Errorf("input %d is told %v twice", n, high)
				}
				r.level[n] = high
				if high {
					r.rises[n]++
				}
			})
		},
		Legacy: func(on bool) { r.legacy = on },
	})
	return r
}

func (r *rig) get(at uint64) uint64 {
	b := make([]byte, 8)
	r.Read(at, b)
	return binary.LittleEndian.Uint64(b)
}

func (r *rig) put(at, v uint64) { r.Write(at, binary.LittleEndian.AppendUint64(nil, v)) }

func TestIdentity(t *testing.T) {
	r := newRig(t)
	if got := r.get(0); got != 10_000_000<<32|ID {
		t.Errorf("identity %#x", got)
	}
	if got := r.get(0x120); got != Inputs<<32|0x30 {
		t.Errorf("comparator %#x", got)
	}
	if got := r.get(0x128); got != ^uint64(0) {
		t.Errorf("value %#x", got)
	}
	b := make([]byte, 5)
	r.Read(2, b)
	if !bytes.Equal(b, []byte{0x86, 0x80, 0x80, 0x96, 0x98}) {
		t.Errorf("across halves % x", b)
	}
}

func TestCounter(t *testing.T) {
	r := newRig(t)
	r.clock.Advance(time.Second)
	if r.get(0xF0) != 0 {
		t.Error("it counts while it is off")
	}
	r.put(0xF0, 1000)
	r.put(0x10, confEnable)
	r.clock.Advance(time.Second)
	if got := r.get(0xF0); got != 100_001_000 {
		t.Errorf("%d after a second", got)
	}
	r.put(0xF0, 0)
	r.put(0x10, 0)
	r.clock.Advance(time.Second)
	if got := r.get(0xF0); got != 100_001_000 {
		t.Errorf("%d when stopped", got)
	}
}

func TestOneShot(t *testing.T) {
	r := newRig(t)
	r.put(0x10, confEnable)
	r.put(0x140, timerEnable|timer32|20<<routeShift)
	r.Write(0x148, []byte{0x40, 0x42, 0x0F, 0}) // a million ticks: 10 ms
	r.clock.Advance(10*time.Millisecond - 1)
	if r.rises[20] != 0 {
		t.Fatal("too early")
	}
	r.clock.Advance(1)
	if r.rises[20] != 1 || r.level[20] {
		t.Fatalf("%d edges", r.rises[20])
	}
	r.clock.Advance(43 * time.Second) // the lower half of the counter wraps
	if r.rises[20] != 2 {
		t.Errorf("%d edges after the wrap", r.rises[20])
	}
	r.put(0x140, timerEnable|20<<routeShift)
	r.put(0x148, r.get(0xF0)-1)
	r.clock.Advance(time.Hour)
	if r.rises[20] != 2 {
		t.Error("a value of 64 bits that has passed matches")
	}
	if r.clock.Running() != 0 {
		t.Error("a timer runs for nothing")
	}
}

func TestPeriodic(t *testing.T) {
	r := newRig(t)
	r.put(0x10, confEnable|confLegacy)
	if !r.legacy {
		t.Error("the 8254 goes on")
	}
	r.put(0x100, timerEnable|timerPeriodic|timerSetValue|timer32)
	r.put(0x108, 500_000)
	r.put(0x108, 100_000) // the period
	if got := r.get(0x100); got&timerSetValue != 0 {
		t.Errorf("configuration %#x", got)
	}
	r.clock.Advance(5 * time.Millisecond)
	if r.rises[2] != 1 {
		t.Fatalf("%d edges", r.rises[2])
	}
	r.clock.Advance(9 * time.Millisecond)
	if r.rises[2] != 10 {
		t.Fatalf("%d edges", r.rises[2])
	}
	if got := r.get(0x108); got != 1_500_000 {
		t.Errorf("the next match is at %d", got)
	}
	r.put(0x10, 0)
	if r.legacy {
		t.Error("the 8254 stays silent")
	}
	r.clock.Advance(time.Second)
	if r.rises[2] != 10 {
		t.Error("it goes on")
	}
}

// TestShortPeriod has a guest ask for more interrupts than a host can give.
func TestShortPeriod(t *testing.T) {
	r := newRig(t)
	r.put(0x10, confEnable)
	r.put(0x100, timerEnable|timerPeriodic|timerSetValue|2<<routeShift)
	r.put(0x108, 1)
	r.clock.Advance(time.Millisecond)
	if n := r.rises[2]; n < 1 || n > 20 {
		t.Errorf("%d interrupts in a millisecond", n)
	}
}

func TestLevel(t *testing.T) {
	r := newRig(t)
	r.put(0x10, confEnable)
	for i, at := range []uint64{0x100, 0x120} {
		r.put(at, timerEnable|timerLevel|21<<routeShift)
		r.put(at+8, uint64(i+1)*100_000)
	}
	r.clock.Advance(2 * time.Millisecond)
	if !r.level[21] || r.get(0x20) != 3 {
		t.Fatalf("level %v, status %#x", r.level[21], r.get(0x20))
	}
	r.Write(0x20, []byte{1})
	if !r.level[21] || r.get(0x20) != 2 {
		t.Errorf("level %v, status %#x", r.level[21], r.get(0x20))
	}
	r.put(0x120, timerLevel|21<<routeShift)
	if r.level[21] {
		t.Error("high with the interrupt off")
	}
	r.put(0x120, timerEnable|timerLevel|5<<routeShift) // not wired
	if r.level[21] {
		t.Error("high at the old input")
	}
}

func TestSnapshot(t *testing.T) {
	r := newRig(t)
	r.put(0x10, confEnable|confLegacy)
	r.put(0x100, timerEnable|timerPeriodic|timerSetValue|timer32)
	r.put(0x108, 100_000)
	r.put(0x140, timerEnable|timerLevel|22<<routeShift)
	r.put(0x148, 50_000)
	r.clock.Advance(1500 * time.Microsecond)
	var q *rig
	statetest.Cycle(t, r.Device, func() state.Device { q = newRig(t); return q.Device })
	if !q.legacy || !q.level[22] {
		t.Error("not as before")
	}
	q.clock.Advance(500 * time.Microsecond)
	if q.rises[2] != 1 || q.get(0xF0) != 200_000 {
		t.Errorf("%d interrupts, counter %d", q.rises[2], q.get(0xF0))
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0x10, 1, 3, 0x00, 0x4E, 7, 0x08, 0x80, 0x10, 0xFE, 0, 9})
	f.Add([]byte{0x10, 1, 1, 0x42, 0x06, 0x28, 0x48, 0x10, 0, 0xFE, 0, 200, 0xFF, 0, 0, 0x20, 7, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t)
		for n := 0; len(ops) >= 3 && n < 300; ops, n = ops[3:], n+1 {
			switch op := ops[0]; op {
			case 0xFE:
				r.clock.Advance(time.Duration(ops[2]) * time.Millisecond / 4)
			case 0xFF:
				q := newRig(t)
				statetest.Hand(t, r, q)
				r = q
			default:
				at := uint64(op)
				if op < 0x80 && op != 0x10 && op != 0x20 {
					at += 0x100
				}
				p := bytes.Repeat(ops[2:3], 1+int(ops[1]&7))
				p[0] = ops[1]
				r.Write(at, p)
				r.Read(at, p)
			}
		}
		r.put(0x20, ^uint64(0))
		if r.level != [32]bool{} {
			t.Fatal("an input stays high")
		}
	})
}
