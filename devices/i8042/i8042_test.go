package i8042

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

var _ state.Device = (*Device)(nil)

// rig is a controller on its ports.
type rig struct {
	t testing.TB
	*Device
	ports           *bus.Bus
	keyboard, mouse bool
	resets          int
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, ports: bus.New("port", nil)}
	r.Device = New(Config{
		Keyboard: irq.LineFunc(func(high bool) { r.keyboard = high }),
		Mouse:    irq.LineFunc(func(high bool) { r.mouse = high }),
		Reset:    func() { r.resets++ },
	})
	for base, dev := range map[uint64]bus.Device{0x60: r.Data(), 0x64: r.Command(), 0x92: r.SystemControl()} {
		if err := r.ports.Map(base, PortSize, dev); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) in(port uint64) uint8 {
	var b [1]byte
	r.ports.Read(port, b[:])
	return b[0]
}

func (r *rig) out(port uint64, v uint8) { r.ports.Write(port, []byte{v}) }

// ask sends a command that has a reply.
func (r *rig) ask(command uint8) uint8 {
	r.t.Helper()
	r.out(0x64, command)
	if r.in(0x64)&statusFull == 0 {
		r.t.Errorf("no reply to command %#x", command)
	}
	v := r.in(0x60)
	if r.in(0x64)&statusFull != 0 {
		r.t.Errorf("the reply to %#x stays after it was read", command)
	}
	return v
}

func TestReplies(t *testing.T) {
	for _, c := range []struct {
		name          string
		command, want uint8
	}{
		{"command byte", 0x20, 0x34},
		{"self-test", 0xAA, 0x55},
		{"keyboard port", 0xAB, 0x00},
		{"mouse port is not there", 0xA9, 0x01},
		{"input port", 0xC0, 0x80},
		{"output port", 0xD0, 0xCF},
	} {
		if got := newRig(t).ask(c.command); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestReset(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes [][2]uint8 // port, value
		want   int
	}{
		{"pulse", [][2]uint8{{0x64, 0xFE}}, 1},
		{"pulse of all lines", [][2]uint8{{0x64, 0xF0}}, 1},
		{"pulse of none", [][2]uint8{{0x64, 0xFF}}, 0},
		{"output port", [][2]uint8{{0x64, 0xD1}, {0x60, 0xFE}}, 1},
		{"output port, A20 only", [][2]uint8{{0x64, 0xD1}, {0x60, 0xDF}}, 0},
		{"port 92h", [][2]uint8{{0x92, 0x01}}, 1},
		{"port 92h, A20 only", [][2]uint8{{0x92, 0x02}}, 0},
		{"the value alone", [][2]uint8{{0x60, 0xFE}}, 0},
	} {
		r := newRig(t)
		for _, w := range c.writes {
			r.out(uint64(w[0]), w[1])
		}
		if r.resets != c.want {
			t.Errorf("%s: %d resets, want %d", c.name, r.resets, c.want)
		}
	}
}

func TestA20(t *testing.T) {
	r := newRig(t)
	if r.in(0x92) != systemA20 {
		t.Error("A20 is off after reset")
	}
	r.out(0x92, 0)
	if v := r.ask(0xD0); v&outputA20 != 0 {
		t.Errorf("output port %#x", v)
	}
	r.out(0x64, 0xD1)
	r.out(0x60, 0xDF)
	if r.in(0x92) != systemA20 {
		t.Error("A20 does not show at port 92h")
	}
}

func TestCommandByte(t *testing.T) {
	r := newRig(t)
	r.out(0x64, 0x60)
	if r.in(0x64)&statusCommand == 0 {
		t.Error("status does not say that a command came last")
	}
	r.out(0x60, 0x45)
	if r.in(0x64)&statusCommand != 0 {
		t.Error("status does not say that data came last")
	}
	if got := r.ask(0x20); got != 0x45 {
		t.Errorf("command byte %#x", got)
	}
	r.out(0x64, 0xAD)
	r.out(0x64, 0xA7)
	if got := r.ask(0x20); got != 0x75 {
		t.Errorf("command byte with both ports disabled %#x", got)
	}
	r.out(0x64, 0xAE)
	r.out(0x64, 0xA8)
	if got := r.ask(0x20); got != 0x45 {
		t.Errorf("command byte with both ports enabled %#x", got)
	}
	r.out(0x64, 0x7F)
	r.out(0x60, 0x99)
	if got := r.ask(0x3F); got != 0x99 {
		t.Errorf("last byte of memory %#x", got)
	}
}

// A driver that talks to a keyboard that is not there hears so at once, by interrupt if it asked for that.
func TestAbsentDevices(t *testing.T) {
	r := newRig(t)
	r.out(0x64, 0x60)
	r.out(0x60, commandKeyboardIRQ|commandMouseIRQ|commandSystem)
	for _, mouse := range []bool{false, true} {
		if mouse {
			r.out(0x64, 0xD4)
		}
		r.out(0x60, 0xF2) // identify
		if s := r.in(0x64); s&statusFull == 0 || s&statusTimeout == 0 || s&statusAux != 0 {
			t.Errorf("status %#x", s)
		}
		if !r.keyboard || r.mouse {
			t.Errorf("interrupts: keyboard %v, mouse %v", r.keyboard, r.mouse)
		}
		if v := r.in(0x60); v != 0xFE {
			t.Errorf("data %#x", v)
		}
		if r.keyboard || r.in(0x64)&statusTimeout != 0 {
			t.Error("the error stays after it was read")
		}
	}
}

// Linux takes a loop back through the mouse port without the mouse flag for: no such port.
func TestLoopback(t *testing.T) {
	for _, command := range []uint8{0xD2, 0xD3} {
		r := newRig(t)
		r.out(0x64, command)
		r.out(0x60, 0x5A)
		if s := r.in(0x64); s&statusFull == 0 || s&statusAux != 0 {
			t.Errorf("%#x: status %#x", command, s)
		}
		if v := r.in(0x60); v != 0x5A {
			t.Errorf("%#x: data %#x", command, v)
		}
	}
}

func TestWithoutLines(t *testing.T) {
	d := New(Config{})
	d.Command().Write(0, []byte{0x60})
	d.Data().Write(0, []byte{commandKeyboardIRQ})
	d.Data().Write(0, []byte{0xF2})
	d.Command().Write(0, []byte{0xFE})
}

func TestWideAccess(t *testing.T) {
	r := newRig(t)
	b := make([]byte, 8)
	for at := uint64(0x58); at < 0x98; at++ {
		r.ports.Read(at, b)
		r.ports.Write(at, b)
	}
}

func TestStateCycle(t *testing.T) {
	r := newRig(t)
	r.out(0x64, 0x60)
	r.out(0x60, commandKeyboardIRQ)
	r.out(0x60, 0xF2)
	r.out(0x64, 0xD2)
	r.Pause()
	var w state.Writer
	r.Save(&w)
	q := newRig(t)
	if err := q.Restore(state.NewReader(w.Data())); err != nil {
		t.Fatal(err)
	}
	q.Resume()
	if !q.keyboard {
		t.Error("the pending interrupt is gone")
	}
	q.out(0x60, 0x77) // the parameter of the command before the snapshot
	if v := q.in(0x60); v != 0x77 {
		t.Errorf("data %#x", v)
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
	bad := bytes.Clone(good)
	bad[4+len(stateName)+2+4+ramSize] = 0x80
	if newRig(t).Restore(state.NewReader(bad)) == nil {
		t.Error("accepted an unknown status bit")
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0x64, 0x60, 0x60, 0x03, 0x60, 0xF2, 0xFF, 0, 0x64, 0xD4, 0x60, 0xF4})
	f.Add([]byte{0x64, 0xD1, 0xFF, 0, 0x60, 0xFE, 0x92, 0x01})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t)
		for ; len(ops) >= 2; ops = ops[2:] {
			if ops[0] == 0xFF {
				q := newRig(t)
				statetest.Hand(t, r, q)
				r = q
				continue
			}
			p := bytes.Repeat(ops[1:2], 1+int(ops[1]&7))
			r.ports.Write(uint64(ops[0]), p)
			r.ports.Read(uint64(ops[0]), p)
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
			r.out(0x60, 0)
			r.in(0x60)
		}
	})
}
