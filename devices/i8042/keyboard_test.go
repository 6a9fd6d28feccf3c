package i8042

import (
	"bytes"
	"testing"
	"time"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// desk is a controller with keyboard and mouse, on its ports.
type desk struct {
	*rig
	clock *clock.Fake
	leds  []input.LEDs
	edges [2]int // how often each line has risen
}

func newDesk(t testing.TB) *desk {
	d := &desk{rig: &rig{t: t, ports: bus.New("port", nil)}, clock: clock.NewFake(time.Time{})}
	line := func(n int, level *bool) irq.Line {
		return irq.LineFunc(func(high bool) {
			if high && !*level {
				d.edges[n]++
			}
			*level = high
		})
	}
	d.Device = New(Config{
		Keyboard: line(0, &d.rig.keyboard), Mouse: line(1, &d.rig.mouse), Reset: func() { d.resets++ },
		Devices: true, Clock: d.clock, LEDs: func(v input.LEDs) { d.leds = append(d.leds, v) },
	})
	for base, dev := range map[uint64]bus.Device{0x60: d.Data(), 0x64: d.Command(), 0x92: d.SystemControl()} {
		if err := d.ports.Map(base, PortSize, dev); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// command sets the command byte.
func (d *desk) command(v uint8) {
	d.out(0x64, 0x60)
	d.out(0x60, v)
}

// drain reads what waits, from the keyboard and from the mouse.
func (d *desk) drain() (keys, mouse []uint8) {
	for range 1000 {
		s := d.in(0x64)
		if s&statusFull == 0 {
			if d.Device.keyboard.waiting() && d.ram[0]&keyboardDisabled == 0 { // it rests
				d.clock.Advance(restTime)
				continue
			}
			return keys, mouse
		}
		if v := d.in(0x60); s&statusAux != 0 {
			mouse = append(mouse, v)
		} else {
			keys = append(keys, v)
		}
	}
	d.t.Fatal("bytes without end")
	return nil, nil
}

func (d *desk) wantKeys(what string, want ...uint8) {
	d.t.Helper()
	if keys, _ := d.drain(); !bytes.Equal(keys, want) {
		d.t.Errorf("%s: % X, want % X", what, keys, want)
	}
}

func (d *desk) wantMouse(what string, want ...uint8) {
	d.t.Helper()
	if _, mouse := d.drain(); !bytes.Equal(mouse, want) {
		d.t.Errorf("%s: % X, want % X", what, mouse, want)
	}
}

// ask sends bytes to the keyboard.
func (d *desk) keys(v ...uint8) {
	for _, b := range v {
		d.out(0x60, b)
	}
}

// aux sends bytes to the mouse.
func (d *desk) aux(v ...uint8) {
	for _, b := range v {
		d.out(0x64, 0xD4)
		d.out(0x60, b)
	}
}

func TestTranslation(t *testing.T) {
	// From IBM's table: a set 2 code, what the controller makes of it.
	for two, one := range map[uint8]uint8{
		0x00: 0xFF, 0x01: 0x43, 0x07: 0x58, 0x0E: 0x29, 0x1C: 0x1E, 0x29: 0x39, 0x5A: 0x1C, 0x66: 0x0E, 0x76: 0x01, 0x77: 0x45, 0x7C: 0x37,
		0x7E: 0x46, 0x7F: 0x54, 0x83: 0x41, 0x84: 0x54, 0xAA: 0xAA, 0xE0: 0xE0, 0xFA: 0xFA, 0x61: 0x56, 0x11: 0x38, 0x14: 0x1D, 0x12: 0x2A,
	} {
		if translation[two] != one {
			t.Errorf("%#x becomes %#x, want %#x", two, translation[two], one)
		}
	}
	seen := map[uint8]bool{}
	for _, two := range set2[1:] {
		if two == 0 || two >= untranslate || seen[two] {
			t.Errorf("set 2 code %#x is there twice, or out of range", two)
		}
		seen[two] = true
	}
}

func TestKeys(t *testing.T) {
	const a, enter, f7, up, rightCtrl = 30, 28, 65, 103, 97
	for _, c := range []struct {
		name                string
		keys                []int // negative is a release
		one, two, translate []uint8
	}{
		{"A", []int{a, -a}, []uint8{0x1E, 0x9E}, []uint8{0x1C, 0xF0, 0x1C}, nil},
		{"F7", []int{f7, -f7}, []uint8{0x41, 0xC1}, []uint8{0x83, 0xF0, 0x83}, nil},
		{"Up", []int{up, -up}, []uint8{0xE0, 0x48, 0xE0, 0xC8}, []uint8{0xE0, 0x75, 0xE0, 0xF0, 0x75}, nil},
		{"right Ctrl", []int{rightCtrl, -rightCtrl}, []uint8{0xE0, 0x1D, 0xE0, 0x9D}, []uint8{0xE0, 0x14, 0xE0, 0xF0, 0x14}, nil},
		{"Pause", []int{119, -119}, []uint8{0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5}, []uint8{0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77}, nil},
		{"Break", []int{29, 119, -119, -29}, []uint8{0x1D, 0xE0, 0x46, 0xE0, 0xC6, 0x9D}, []uint8{0x14, 0xE0, 0x7E, 0xE0, 0xF0, 0x7E, 0xF0, 0x14}, nil},
		{"Print", []int{99, -99}, []uint8{0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA}, []uint8{0xE0, 0x12, 0xE0, 0x7C, 0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12}, nil},
		{"SysRq", []int{56, 99, -99, -56}, []uint8{0x38, 0x54, 0xD4, 0xB8}, []uint8{0x11, 0x84, 0xF0, 0x84, 0xF0, 0x11}, nil},
		{"a repeat of the host", []int{a, a, -a, -a}, []uint8{0x1E, 0x9E}, []uint8{0x1C, 0xF0, 0x1C}, nil},
		{"no such key", []int{200, -200, 0, 0x2FF, -0x2FF}, nil, nil, nil},
	} {
		press := func(d *desk) {
			for _, k := range c.keys {
				if k < 0 {
					d.Key(uint16(-k), false)
				} else {
					d.Key(uint16(k), true)
				}
			}
		}
		d := newDesk(t)
		d.command(commandKeyboardIRQ | commandSystem)
		press(d)
		d.wantKeys(c.name+", set 2", c.two...)
		if d.edges[0] != len(c.two) {
			t.Errorf("%s: %d interrupts for %d bytes", c.name, d.edges[0], len(c.two))
		}
		d = newDesk(t)
		d.command(commandTranslate | commandSystem)
		press(d)
		d.wantKeys(c.name+", translated", c.one...)
		d = newDesk(t)
		d.command(commandSystem)
		d.keys(0xF0, 1)
		d.wantKeys("set 1", 0xFA, 0xFA)
		press(d)
		d.wantKeys(c.name+", set 1", c.one...)
	}
}

func TestScanCodeSet3(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem)
	d.keys(0xF0, 3, 0xF0, 0)
	d.wantKeys("set 3", 0xFA, 0xFA, 0xFA, 0xFA, 3)
	for code, want := range map[uint16]uint8{30: 0x1C, 1: 0x08, 103: 0x63, 97: 0x58, 119: 0x62, 125: 0x8B, 43: 0x5C} {
		d.Key(code, true)
		d.Key(code, false)
		d.wantKeys("key", want, 0xF0, want)
	}
}

func TestKeyboardCommands(t *testing.T) {
	for _, c := range []struct {
		name string
		send []uint8
		want []uint8
	}{
		{"reset", []uint8{0xFF}, []uint8{0xFA, 0xAA}},
		{"identify", []uint8{0xF2}, []uint8{0xFA, 0xAB, 0x83}},
		{"echo", []uint8{0xEE}, []uint8{0xEE}},
		{"rate", []uint8{0xF3, 0}, []uint8{0xFA, 0xFA}},
		{"LEDs cut short by another command", []uint8{0xED, 0xF4}, []uint8{0xFA, 0xFA}},
		{"which set", []uint8{0xF0, 0}, []uint8{0xFA, 0xFA, 2}},
		{"no such set", []uint8{0xF0, 4}, []uint8{0xFA, 0xFE}},
		{"no such command", []uint8{0xEF}, []uint8{0xFE}},
		{"a value alone", []uint8{0x05}, []uint8{0xFE}},
		{"keys of set 3", []uint8{0xFB, 0x1C, 0x1B, 0xF4}, []uint8{0xFA, 0xFA, 0xFA, 0xFA}},
		{"all keys of set 3", []uint8{0xFA}, []uint8{0xFA}},
	} {
		d := newDesk(t)
		d.command(commandSystem)
		d.keys(c.send...)
		d.wantKeys(c.name, c.want...)
	}
	d := newDesk(t)
	d.command(commandSystem)
	d.keys(0xED, 5)
	d.wantKeys("LEDs", 0xFA, 0xFA)
	if len(d.leds) != 1 || d.leds[0] != input.LEDScroll|input.LEDCaps {
		t.Errorf("LEDs %v", d.leds)
	}
	d.keys(0xF2)
	d.in(0x60)
	d.keys(0xFE)
	if v := d.in(0x60); v != 0xAB { // it waited at the port
		t.Errorf("%#x", v)
	}
}

func TestTypematic(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem)
	d.keys(0xF3, 0) // 30 a second, after 250 ms
	d.wantKeys("rate", 0xFA, 0xFA)
	d.Key(30, true)
	d.wantKeys("press", 0x1C)
	d.clock.Advance(249 * time.Millisecond)
	d.wantKeys("too early")
	d.clock.Advance(time.Millisecond)
	d.wantKeys("after the delay", 0x1C)
	d.clock.Advance(34 * time.Millisecond)
	d.wantKeys("and again", 0x1C)
	d.Key(48, true)
	d.wantKeys("another key", 0x32)
	d.clock.Advance(time.Second)
	if keys, _ := d.drain(); len(keys) == 0 || len(keys) > 2 || keys[0] != 0x32 {
		t.Errorf("a guest that does not read gets % X", keys)
	}
	d.Key(48, false)
	d.wantKeys("release", 0xF0, 0x32)
	d.clock.Advance(time.Second)
	d.wantKeys("A is held, but no longer repeats")
	if d.clock.Running() != 0 && d.Device.keyboard.repeat != 0 {
		t.Error("a timer runs")
	}
}

// TestOverflow has a guest that does not read for long: no key is stuck afterwards.
func TestOverflow(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem | mouseDisabled)
	for code := uint16(2); code < 60; code++ {
		d.Key(code, true)
	}
	for code := uint16(3); code < 60; code++ {
		d.Key(code, false)
	}
	down := map[uint8]bool{}
	keys, _ := d.drain()
	for i := 0; i < len(keys); i++ {
		if keys[i] == 0xF0 {
			i++
			delete(down, keys[i])
		} else {
			down[keys[i]] = true
		}
	}
	if len(down) != 1 || !down[0x16] {
		t.Errorf("down are %v, want the key 1", down)
	}
}

// TestFlush has a driver start that does as Linux's does, after keys were typed which nobody has read: it empties the controller by at most 16 reads. The keys that it has not
// thrown away come later, in order.
func TestFlush(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem | commandKeyboardIRQ | commandTranslate | mouseDisabled)
	for code := uint16(2); code < 60; code++ {
		d.Key(code, true)
		d.Key(code, false)
	}
	flush := func() (n int) {
		for d.in(0x64)&statusFull != 0 {
			if n++; n > 16 {
				t.Fatal("a byte after 16")
			}
			d.in(0x60)
		}
		return n
	}
	if n := flush(); n != 16 {
		t.Errorf("%d bytes", n)
	}
	before := d.edges[0]
	d.clock.Advance(restTime)
	if d.edges[0] == before {
		t.Error("no interrupt after the rest")
	}
	if n := flush(); n == 0 {
		t.Error("nothing after the rest")
	}
	d.drain()
	d.clock.Advance(time.Second)
	d.Key(30, true)
	d.wantKeys("later", 0x1E)
	// One that has waited for an answer gets it in between.
	for range 10 {
		d.Key(31, true)
		d.Key(31, false)
	}
	flush()
	d.keys(kbdEcho)
	if v := d.in(0x60); v != kbdEcho {
		t.Errorf("echo %#x", v)
	}
}

func TestDisabledPortKeepsBytes(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem)
	d.out(0x64, 0xAD)
	d.Key(30, true)
	d.wantKeys("disabled")
	d.out(0x64, 0xAE)
	d.wantKeys("enabled", 0x1C)
}

// TestReplyGoesAhead has the controller answer while a key's code waits: neither is lost.
func TestReplyGoesAhead(t *testing.T) {
	d := newDesk(t)
	d.command(commandSystem)
	d.Key(30, true)
	d.out(0x64, 0xAD)
	d.out(0x64, 0x20)
	if v := d.in(0x60); v != commandSystem|keyboardDisabled {
		t.Errorf("command byte %#x", v)
	}
	d.wantKeys("behind it", 0x1C)
}

func TestMousePort(t *testing.T) {
	d := newDesk(t)
	if v := d.ask(0xA9); v != 0 {
		t.Errorf("test of the port: %#x", v)
	}
	d.out(0x64, 0xD3)
	d.out(0x60, 0xA5)
	if s, v := d.in(0x64), d.in(0x60); s&statusAux == 0 || v != 0xA5 {
		t.Errorf("loop: status %#x, data %#x", s, v)
	}
}

func TestMouseCommands(t *testing.T) {
	for _, c := range []struct {
		name string
		send []uint8
		want []uint8
	}{
		{"reset", []uint8{0xFF}, []uint8{0xFA, 0xAA, 0x00}},
		{"identify", []uint8{0xF2}, []uint8{0xFA, 0x00}},
		{"wheel", []uint8{0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2}, []uint8{0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 3}},
		{"status", []uint8{0xE8, 1, 0xF3, 60, 0xE7, 0xF4, 0xE9}, []uint8{0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0x30, 1, 60}},
		{"no such resolution", []uint8{0xE8, 4}, []uint8{0xFA, 0xFC}},
		{"read", []uint8{0xF0, 0xEB}, []uint8{0xFA, 0xFA, 8, 0, 0}},
		{"wrap", []uint8{0xEE, 0xF2, 0x12, 0xEC, 0xF2}, []uint8{0xFA, 0xF2, 0x12, 0xFA, 0xFA, 0}},
		{"no such command", []uint8{0xE1}, []uint8{0xFE}},
	} {
		d := newDesk(t)
		d.command(commandMouseIRQ | commandSystem)
		d.aux(c.send...)
		d.wantMouse(c.name, c.want...)
		if d.edges[1] != len(c.want) {
			t.Errorf("%s: %d interrupts for %d bytes", c.name, d.edges[1], len(c.want))
		}
	}
}

func (d *desk) mouseKind(kind uint8) {
	d.command(commandSystem)
	rates := []uint8{0xF3, 200, 0xF3, 100, 0xF3, 80}
	if kind == mouseExplorer {
		rates = append(rates, 0xF3, 200, 0xF3, 200, 0xF3, 80)
	}
	if kind != mousePlain {
		d.aux(rates...)
	}
	d.aux(0xF2, 0xF4)
	_, b := d.drain()
	if got := b[len(b)-2]; got != kind {
		d.t.Fatalf("identity %d, want %d", got, kind)
	}
}

func TestMousePackets(t *testing.T) {
	for _, c := range []struct {
		name string
		kind uint8
		do   func(d *desk)
		want []uint8
	}{
		{"move", mousePlain, func(d *desk) { d.Move(3, 4, 0) }, []uint8{0x28, 3, 0xFC}},
		{"back", mousePlain, func(d *desk) { d.Move(-3, -4, 0) }, []uint8{0x18, 0xFD, 4}},
		{"far", mousePlain, func(d *desk) { d.Move(300, 0, 0) }, []uint8{0x08, 255, 0, 0x08, 45, 0}},
		{"wheel of a plain one", mousePlain, func(d *desk) { d.Move(0, 0, 1) }, nil},
		{"buttons", mousePlain, func(d *desk) { d.Button(0, true); d.Button(2, true); d.Button(0, false) }, []uint8{9, 0, 0, 13, 0, 0, 12, 0, 0}},
		{"fourth of a plain one", mousePlain, func(d *desk) { d.Button(3, true) }, nil},
		{"no such button", mouseExplorer, func(d *desk) { d.Button(5, true); d.Button(-1, true); d.Button(99, true) }, nil},
		{"wheel up", mouseWheel, func(d *desk) { d.Move(0, 0, 1) }, []uint8{8, 0, 0, 0xFF}},
		{"wheel down far", mouseWheel, func(d *desk) { d.Move(0, 0, -9) }, []uint8{8, 0, 0, 7, 8, 0, 0, 2}},
		{"explorer", mouseExplorer, func(d *desk) { d.Button(4, true); d.Move(0, 0, 2) }, []uint8{8, 0, 0, 0x20, 8, 0, 0, 0x2E}},
	} {
		d := newDesk(t)
		d.mouseKind(c.kind)
		c.do(d)
		d.wantMouse(c.name, c.want...)
	}
}

// TestMouseOverflow has a guest that does not read for long: no movement and no button is lost, however few packets tell of it.
func TestMouseOverflow(t *testing.T) {
	d := newDesk(t)
	d.mouseKind(mousePlain)
	for range 1000 {
		d.Move(1, 0, 0)
		d.Button(0, true)
		d.Button(0, false)
	}
	_, b := d.drain()
	sum := 0
	for ; len(b) >= 3; b = b[3:] {
		sum += int(b[1])
		if len(b) == 3 && b[0]&1 != 0 {
			t.Error("the button is stuck")
		}
	}
	if sum != 1000 {
		t.Errorf("moved by %d, want 1000", sum)
	}
}

func TestDevicesSnapshot(t *testing.T) {
	d := newDesk(t)
	d.mouseKind(mouseExplorer)
	d.Key(30, true)
	d.Key(48, true)
	d.wantKeys("press", 0x1C, 0x32)
	d.out(0x64, 0xAD)
	d.Button(1, true)
	d.Move(5, 0, 0)
	d.Move(5, 0, 0)
	d.keys(0xED)
	var q *desk
	statetest.Cycle(t, d.Device, func() state.Device {
		q = newDesk(t)
		return q.Device
	})
	q.keys(0x02)
	if keys, mouse := q.drain(); !bytes.Equal(mouse[:4], []uint8{0x0A, 0, 0, 0}) || !bytes.Equal(keys, []uint8{0xFA, 0xFA, 0xF0, 0x1C, 0xF0, 0x32}) {
		t.Errorf("keys % X, mouse % X", keys, mouse)
	}
	if q.clock.Running() != 0 && q.Device.keyboard.repeat != 0 {
		t.Error("a key that nobody holds repeats")
	}
}

// TestSinks has the neutral events reach both devices.
func TestSinks(t *testing.T) {
	d := newDesk(t)
	k, m := d.Keyboard(), d.Mouse()
	if k.Ready() || m.Ready() {
		t.Error("ready before the guest has enabled the ports")
	}
	d.mouseKind(mouseExplorer)
	d.keys(0xF4)
	d.wantKeys("enable", 0xFA)
	if !k.Ready() || !m.Ready() {
		t.Error("not ready")
	}
	k.Frame([]input.Event{{Type: input.TypeKey, Code: 30, Value: 1}, {Type: input.TypeKey, Code: 30}, {Type: input.TypeKey, Code: 0x2FF, Value: 1}})
	if n := k.Backlog(); n != 3 {
		t.Errorf("backlog of %d bytes", n)
	}
	d.wantKeys("A", 0x1C, 0xF0, 0x1C)
	m.Frame([]input.Event{{Type: input.TypeRel, Code: input.RelX, Value: 2}, {Type: input.TypeRel, Code: input.RelY, Value: -1}, {Type: input.TypeRel, Code: input.RelWheel, Value: 1}})
	m.Frame([]input.Event{{Type: input.TypeKey, Code: input.ButtonSide, Value: 1}, {Type: input.TypeAbs, Value: 1}})
	if n := m.Backlog(); n != 8 {
		t.Errorf("backlog of %d bytes", n)
	}
	d.wantMouse("mouse", 8, 2, 1, 0x0F, 8, 0, 0, 0x10)
	if k.Backlog()+m.Backlog() != 0 {
		t.Error("a backlog stays")
	}
}

func FuzzDesk(f *testing.F) {
	f.Add([]byte{0x64, 0x60, 0x60, 0x43, 0x60, 0xF2, 0xFF, 0, 0x64, 0xD4, 0x60, 0xF4, 1, 30, 2, 0x88, 3, 1, 4, 200, 0x60, 0xED, 0x60, 7})
	f.Add([]byte{0x64, 0x60, 0x60, 0, 1, 119, 1, 99, 1, 29, 0xFF, 0, 0x60, 0xFF, 0x60, 0xF0, 0x60, 1, 4, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		d := newDesk(t)
		for n := 0; len(ops) >= 2 && n < 500; ops, n = ops[2:], n+1 {
			switch v := ops[1]; ops[0] {
			case 1:
				d.Key(uint16(v), true)
			case 2:
				d.Move(int(int8(v)), int(v), int(v&3))
			case 3:
				d.Button(int(v&7), v&8 != 0)
			case 4:
				d.clock.Advance(time.Duration(v) * time.Millisecond)
			case 5:
				d.Key(uint16(v), false)
			case 0xFF:
				q := newDesk(t)
				statetest.Hand(t, d, q)
				d = q
			default:
				p := bytes.Repeat(ops[1:2], 1+int(v&7))
				d.ports.Write(uint64(ops[0]), p)
				d.ports.Read(uint64(ops[0]), p)
			}
		}
		d.drain()
		if d.rig.keyboard || d.rig.mouse {
			t.Fatal("an interrupt without a byte")
		}
	})
}
