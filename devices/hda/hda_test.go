package hda

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/sharevm/vmm/audio"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// Where the driver of the tests has its things.
const (
	ramSize    = 1 << 20
	corbAt     = 0x1000
	rirbAt     = 0x2000
	positions  = 0x3000
	bdlAt      = 0x4000
	dataAt     = 0x10000
	period     = 4096
	periods    = 4
	firstOut   = regStreams + inputs*streamStride
	tag        = 5
	dacFormat  = 0x11 // 48 kHz, 16 bits, stereo
	dacSecond  = 48000 * 4
	msiData    = 0x42
	configMSI  = 0x48
	ecamBase   = 0xb000_0000
	windowBase = 0xe000_0000
)

// sound is a backend that remembers.
type sound struct {
	format audio.Format
	heard  []byte
	opened int
	closed int
}

func (s *sound) Open(f audio.Format) (audio.Stream, error) {
	s.format = f
	s.opened++
	return s, f.Check()
}
func (s *sound) Write(p []byte)         { s.heard = append(s.heard, p...) }
func (s *sound) Latency() time.Duration { return 0 }

// driver is a controller with a driver that polls.
type driver struct {
	t     testing.TB
	dev   *Device
	host  []byte
	ram   *memory.Guest
	mem   *bus.Bus
	clock *clock.Fake
	sound *sound
	msi   *virtiotest.Interrupts
	line  bool
	wp    int
}

// backend is a sound as the controller gets it: a stream's Close returns nothing.
type backend struct{ *sound }

func (backend) Close() error { return nil }

func (s *sound) Close() { s.closed++ }

func (b backend) Open(f audio.Format) (audio.Stream, error) { return b.sound.Open(f) }

func newDriver(t testing.TB) *driver {
	t.Helper()
	d := &driver{t: t, host: make([]byte, ramSize), clock: clock.NewFake(time.Unix(1e9, 0)), sound: &sound{}, msi: virtiotest.NewInterrupts()}
	var err error
	if d.ram, err = memory.FromRegions(memory.Region{Host: d.host}); err != nil {
		t.Fatal(err)
	}
	d.plug()
	return d
}

// plug puts a new controller in the place of the one that is there.
func (d *driver) plug() {
	d.t.Helper()
	var err error
	c := Config{Name: "sound", Memory: d.ram, MSI: d.msi, Output: backend{d.sound}, Clock: d.clock}
	if d.dev, err = New(c); err != nil {
		d.t.Fatal(err)
	}
	dev := d.dev
	d.t.Cleanup(func() { _ = dev.Close() })
	d.mem = bus.New("memory", nil)
	line := irq.LineFunc(func(high bool) { d.line = high })
	root, err := pci.NewRoot(pci.Config{Memory: d.mem, IO: bus.New("port", nil), Buses: 1, Lines: []irq.Line{line}}, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	ecam, size := root.ECAM()
	if err := d.mem.Map(ecamBase, size, ecam); err != nil {
		d.t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 1}, dev.Function()); err != nil {
		d.t.Fatal(err)
	}
	d.store(ecamBase+1<<15+0x10, 4, windowBase)
	d.store(ecamBase+1<<15+4, 2, 6)
}

func (d *driver) store(at uint64, width int, v uint64) {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	d.mem.Write(at, p[:width])
}

func (d *driver) put(at, width int, v uint64) { d.store(windowBase+uint64(at), width, v) }

func (d *driver) get(at, width int) uint64 {
	var p [8]byte
	d.mem.Read(windowBase+uint64(at), p[:width])
	return binary.LittleEndian.Uint64(p[:])
}

func (d *driver) want(what string, at, width int, v uint64) {
	d.t.Helper()
	if got := d.get(at, width); got != v {
		d.t.Errorf("%s: register %#x is %#x, want %#x", what, at, got, v)
	}
}

// start takes the link out of reset and sets the rings up.
func (d *driver) start() {
	d.t.Helper()
	d.put(regGCTL, 4, 0)
	d.put(regGCTL, 4, gctlRunning)
	if d.get(regSTATESTS, 2) != 1 {
		d.t.Fatal("no codec is there")
	}
	d.put(regCORBBASE, 8, corbAt)
	d.put(regRIRBBASE, 8, rirbAt)
	d.put(regCORBRP, 2, pointerReset<<8)
	d.put(regCORBRP, 2, 0)
	d.put(regRIRBWP, 2, pointerReset<<8)
	d.put(regRINTCNT, 2, 1)
	d.put(regRIRBCTL, 1, rirbRun|rirbInterrupt)
	d.put(regCORBCTL, 1, corbRun)
	d.wp = 0
}

// verb has the codec carry out a command by way of the rings.
func (d *driver) verb(node, verb, payload uint32) uint32 {
	d.t.Helper()
	d.wp = (d.wp + 1) % ringEntries
	v := node<<20 | verb<<8 | payload
	if verb < 0x10 {
		v = node<<20 | verb<<16 | payload
	}
	le := binary.LittleEndian
	le.PutUint32(d.host[corbAt+4*d.wp:], v)
	d.put(regCORBWP, 2, uint64(d.wp))
	if got := d.get(regRIRBWP, 2); got != uint64(d.wp) {
		d.t.Fatalf("response %d after command %d", got, d.wp)
	}
	d.put(regRIRBSTS, 1, rirbInterrupt)
	return le.Uint32(d.host[rirbAt+8*d.wp:])
}

// prepare sets an output stream up over some noise, and the codec to hear it.
func (d *driver) prepare() {
	d.t.Helper()
	d.verb(nodeDAC, 0x2, dacFormat)
	d.verb(nodeDAC, 0x706, tag<<4)
	d.verb(nodePin, 0x707, pinOutput)
	for i := range periods * period {
		d.host[dataAt+i] = byte(i*i>>7 ^ i)
	}
	for i := range periods {
		d.buffer(i, uint64(dataAt+i*period), period, i%2 == 1)
	}
	d.put(firstOut+sdCTL, 1, ctlReset)
	d.put(firstOut+sdCTL, 1, 0)
	d.put(firstOut+sdBDP, 8, bdlAt)
	d.put(firstOut+sdCBL, 4, periods*period)
	d.put(firstOut+sdLVI, 2, periods-1)
	d.put(firstOut+sdFMT, 2, dacFormat)
	d.put(regDPBASE, 8, positions|dpEnable)
	d.put(regINTCTL, 4, intGlobal|intController|intStreams)
}

func (d *driver) buffer(n int, at uint64, size uint32, ioc bool) {
	le := binary.LittleEndian
	p := d.host[bdlAt+n*bdlEntry:]
	le.PutUint64(p, at)
	le.PutUint32(p[8:], size)
	le.PutUint32(p[12:], 0)
	if ioc {
		p[12] = 1
	}
}

func (d *driver) run(on bool) {
	v := uint64(tag<<ctlTag | ctlIOC | ctlFIFO | ctlDesc)
	if on {
		v |= ctlRun
	}
	d.put(firstOut+sdCTL+2, 1, v>>16)
	d.put(firstOut+sdCTL, 1, v&0xff)
}

// heard is all that was heard up to now.
func (d *driver) heard() []byte {
	d.get(firstOut+sdLPIB, 4)
	return d.sound.heard
}

// data is what the stream holds, again and again.
func (d *driver) data(n int) (all []byte) {
	for len(all) < n {
		all = append(all, d.host[dataAt:dataAt+periods*period]...)
	}
	return all[:n]
}

func TestRegisters(t *testing.T) {
	d := newDriver(t)
	d.put(regINTCTL, 4, ^uint64(0))
	d.want("in reset", regINTCTL, 4, 0)
	d.want("before the codec is there", regSTATESTS, 2, 0)
	d.start()
	d.want("capabilities", regGCAP, 4, 1<<24|gcapValue)
	d.want("sizes of rings", regCORBSIZE, 1, ringSize)
	d.want("beyond the registers", regsEnd, 8, 0)
	d.clock.Advance(time.Second / 2)
	d.want("wall clock", regWALCLK, 4, wallClock/2)
	d.want("its alias", regAlias+regWALCLK, 4, wallClock/2)
	d.put(regCORBRP, 2, pointerReset<<8)
	d.want("ring pointer in reset", regCORBRP, 2, pointerReset<<8)
	d.put(regSTATESTS, 2, 1)
	d.want("cleared", regSTATESTS, 2, 0)
	d.put(regGCTL, 4, gctlRunning|gctlFlush)
	d.want("flushed", regGSTS, 2, gstsFlushed)
	d.put(firstOut+sdCBL, 3, 0x123456)
	d.want("a write of 3 bytes", firstOut+sdCBL, 8, 0x123456)
	d.put(regGCTL, 4, 0)
	d.want("reset again", firstOut+sdCBL, 4, 0)
}

func TestCommands(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.put(regINTCTL, 4, intGlobal|intController)
	for _, test := range []struct {
		name                string
		node, verb, payload uint32
		want                uint32
	}{
		{"identity", nodeRoot, 0xf00, parVendor, codecIdentity},
		{"groups", nodeRoot, 0xf00, parNodes, 0x10001},
		{"audio", nodeGroup, 0xf00, parGroup, 1},
		{"widgets", nodeGroup, 0xf00, parNodes, 0x20002},
		{"converter", nodeDAC, 0xf00, parCaps, 0x41d},
		{"pin", nodePin, 0xf00, parCaps, 0x400501},
		{"connection", nodePin, 0xf02, 0, nodeDAC},
		{"jack", nodePin, 0xf1c, 0, pinConfig},
		{"gain to begin with", nodeDAC, 0xb, ampSetOut | ampSetLeft, gainSteps},
		{"mute right", nodeDAC, 0x3, ampSetOut | ampSetRight | gainMute | 7, 0},
		{"right", nodeDAC, 0xb, ampSetOut, gainMute | 7},
		{"left", nodeDAC, 0xb, ampSetOut | ampSetLeft, gainSteps},
		{"power down", nodeGroup, 0x705, 3, 0},
		{"powered down", nodeGroup, 0xf05, 0, 0x33},
		{"an impossible state", nodeGroup, 0x705, 9, 0},
		{"still", nodeGroup, 0xf05, 0, 0x33},
		{"format", nodeDAC, 0x2, 0x4011, 0},
		{"formatted", nodeDAC, 0xa, 0, 0x4011},
		{"stream", nodeDAC, 0x706, 0x51, 0},
		{"streamed", nodeDAC, 0xf06, 0, 0x51},
		{"subsystem", nodeGroup, 0x722, 0x77, 0},
		{"changed", nodeGroup, 0xf20, 0, 0x15771975},
		{"reset", nodeGroup, 0x7ff, 0, 0},
		{"after it", nodeDAC, 0xa, 0, initialFmt},
		{"no such node", 200, 0xf00, 0, 0},
		{"no such parameter", nodeDAC, 0xf00, 0xff, 0},
	} {
		if got := d.verb(test.node, test.verb, test.payload); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
	}
	d.put(regICOI, 4, nodePin<<20|0xf1c00)
	d.put(regICIS, 2, icisBusy)
	d.want("done", regICIS, 2, icisValid)
	d.want("immediate", regICII, 4, pinConfig)
	d.put(regICOI, 4, 3<<28|0xf0000)
	d.put(regICIS, 2, icisBusy|icisValid)
	d.want("no codec at that address", regICIS, 2, 0)
}

// TestPlay plays a second and a half: every byte arrives, the position moves by the clock, and every second buffer interrupts.
func TestPlay(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	d.run(true)
	d.want("ready", firstOut+sdSTS, 1, stsReady)
	interrupts := 0
	for range 1500 {
		d.clock.Advance(time.Millisecond)
		if d.line {
			interrupts++
			d.want("why", regINTSTS, 4, intGlobal|1<<inputs)
			d.put(firstOut+sdSTS, 1, stsComplete)
			if d.line {
				t.Fatal("the line stays high")
			}
		}
	}
	const total = dacSecond * 3 / 2
	d.want("position", firstOut+sdLPIB, 4, total%(periods*period))
	d.want("its alias", regAlias+firstOut+sdLPIB, 4, total%(periods*period))
	if got := binary.LittleEndian.Uint32(d.host[positions+8*inputs:]); got != total%(periods*period) {
		t.Errorf("the driver's buffer says %d", got)
	}
	if want := total / (2 * period); interrupts != want {
		t.Errorf("%d interrupts, want %d", interrupts, want)
	}
	if !bytes.Equal(d.heard(), d.data(total)) {
		t.Errorf("%d bytes were heard, not the %d that were played", len(d.sound.heard), total)
	}
	if want := (audio.Format{Rate: 48000, Channels: 2, Bits: 16}); d.sound.format != want {
		t.Errorf("format %v", d.sound.format)
	}
	d.run(false)
	d.clock.Advance(time.Second)
	if len(d.sound.heard) != total || d.sound.closed != 1 || d.clock.Running() != 0 {
		t.Errorf("stopped: %d bytes, closed %d times, %d timers", len(d.sound.heard), d.sound.closed, d.clock.Running())
	}
}

// TestMessage has the interrupt come as a message, once for each cause.
func TestMessage(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	cfg := uint64(ecamBase + 1<<15 + configMSI)
	d.store(cfg+4, 4, 0xfee00000)
	d.store(cfg+12, 2, msiData)
	d.store(cfg+2, 2, 1)
	d.run(true)
	for range 100 {
		d.clock.Advance(time.Millisecond)
	}
	if n := d.msi.Count(msiData); n != 1 || d.line {
		t.Errorf("%d messages for one cause, line %v", n, d.line)
	}
	d.put(firstOut+sdSTS, 1, stsComplete)
	for range 100 {
		d.clock.Advance(time.Millisecond)
	}
	if n := d.msi.Count(msiData); n != 2 {
		t.Errorf("%d messages for two causes", n)
	}
}

// TestGain changes the volume of one channel and mutes the other.
func TestGain(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	d.verb(nodeDAC, 0x3, ampSetOut|ampSetLeft|gainSteps-20) // a tenth
	d.verb(nodeDAC, 0x3, ampSetOut|ampSetRight|gainMute|gainSteps)
	le := binary.LittleEndian
	for i := range period / 4 {
		le.PutUint16(d.host[dataAt+4*i:], 0x8000) // -32768
		le.PutUint16(d.host[dataAt+4*i+2:], 1000)
	}
	d.run(true)
	d.clock.Advance(10 * time.Millisecond)
	if len(d.heard()) < 1920 {
		t.Fatalf("%d bytes", len(d.sound.heard))
	}
	if left, right := int16(le.Uint16(d.sound.heard)), int16(le.Uint16(d.sound.heard[2:])); left < -3278 || left > -3276 || right != 0 {
		t.Errorf("left %d, right %d", left, right)
	}
}

// TestSilent has what nobody hears take its time all the same.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(d *driver){
		"another stream":   func(d *driver) { d.verb(nodeDAC, 0x706, 0x60) },
		"another format":   func(d *driver) { d.verb(nodeDAC, 0x2, 0x4011) },
		"powered down":     func(d *driver) { d.verb(nodePin, 0x705, 3) },
		"pin switched off": func(d *driver) { d.verb(nodePin, 0x707, 0) },
	} {
		d := newDriver(t)
		d.start()
		d.prepare()
		change(d)
		d.run(true)
		d.clock.Advance(50 * time.Millisecond)
		d.want(name, firstOut+sdLPIB, 4, dacSecond/20)
		if len(d.sound.heard) != 0 {
			t.Errorf("%s: %d bytes were heard", name, len(d.sound.heard))
		}
	}
}

// TestHeld starts a stream that SSYNC holds.
func TestHeld(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	d.put(regSSYNC, 4, 1<<inputs)
	d.run(true)
	d.clock.Advance(50 * time.Millisecond)
	d.want("held", firstOut+sdLPIB, 4, 0)
	d.put(regSSYNC, 4, 0)
	d.clock.Advance(50 * time.Millisecond)
	d.want("let go", firstOut+sdLPIB, 4, dacSecond/20)
}

// TestHostileLists gives the controller lists of buffers that no driver would.
func TestHostileLists(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(d *driver)
		stops  bool
		status uint64 // beside stsReady
	}{
		{"list outside RAM", func(d *driver) { d.put(firstOut+sdBDP, 8, ramSize) }, true, stsDesc},
		{"list across the end of memory", func(d *driver) { d.put(firstOut+sdBDP, 8, ^uint64(127)) }, true, stsDesc},
		{"no length", func(d *driver) { d.put(firstOut+sdCBL, 4, 0) }, true, stsDesc},
		{"data outside RAM", func(d *driver) { d.buffer(0, 1<<40, period, false) }, false, stsFIFO},
		{"data across the end of memory", func(d *driver) { d.buffer(0, ^uint64(7), period, false) }, false, stsFIFO},
		{"empty buffers", func(d *driver) {
			for i := range periods {
				d.buffer(i, dataAt, 0, false)
			}
		}, false, 0},
		{"tiny buffers", func(d *driver) {
			for i := range periods {
				d.buffer(i, dataAt, 1, false)
			}
		}, false, 0},
		{"a tiny ring", func(d *driver) { d.put(firstOut+sdCBL, 4, 1) }, false, 0},
		{"frames across buffers", func(d *driver) { d.buffer(0, dataAt, period-3, false) }, false, 0},
		{"the fastest format", func(d *driver) { d.put(firstOut+sdFMT, 2, 0x1f7f) }, false, 0},
	} {
		d := newDriver(t)
		d.start()
		d.prepare()
		test.change(d)
		d.run(true)
		for range 20 {
			d.clock.Advance(time.Millisecond)
		}
		status := d.get(firstOut+sdSTS, 1) &^ stsComplete
		if running := d.get(firstOut+sdCTL, 1)&ctlRun != 0; running == test.stops {
			t.Errorf("%s: running is %v", test.name, running)
		}
		want := test.status
		if !test.stops {
			want |= stsReady
		}
		if status != want {
			t.Errorf("%s: status %#x, want %#x", test.name, status, want)
		}
	}
}

// TestLate has the host stand still for minutes: what was not played then is played late, at its pace.
func TestLate(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	d.run(true)
	d.dev.timer.Stop()
	d.clock.Advance(time.Hour)
	before := len(d.sound.heard)
	d.get(firstOut+sdLPIB, 4)
	if n := len(d.sound.heard) - before; n != dacSecond/5 {
		t.Errorf("%d bytes at once", n)
	}
	d.put(regINTCTL, 4, 0)
	d.clock.Advance(100 * time.Millisecond)
	if want := d.data(dacSecond * 3 / 10); !bytes.Equal(d.heard(), want) {
		t.Errorf("%d bytes, not the %d that come first", len(d.sound.heard), len(want))
	}
}

// TestRings puts rings where there is no memory.
func TestRings(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.put(regCORBBASE, 8, ramSize)
	d.put(regCORBWP, 2, 1)
	d.want("no commands", regCORBSTS, 1, corbError)
	d.want("stopped", regCORBCTL, 1, 0)
	d.start()
	d.put(regRIRBBASE, 8, ^uint64(127))
	d.put(regCORBWP, 2, 1)
	d.want("no responses", regRIRBSTS, 1, rirbOverrun)
	d.want("stopped", regRIRBCTL, 1, rirbInterrupt)
}

func TestState(t *testing.T) {
	d := newDriver(t)
	d.start()
	d.prepare()
	d.run(true)
	d.clock.Advance(30 * time.Millisecond)
	old := d.dev
	fresh := func() state.Device {
		d.plug()
		d.dev.Pause()
		return d.dev
	}
	d.dev = statetest.Cycle(t, old, fresh).(*Device)
	d.clock.Advance(30 * time.Millisecond)
	if want := d.data(dacSecond * 6 / 100); !bytes.Equal(d.heard(), want) {
		t.Errorf("%d bytes, want %d without a gap", len(d.sound.heard), len(want))
	}
	d.want("position", firstOut+sdLPIB, 4, dacSecond*6/100)
}

// FuzzHDA does arbitrary accesses, with memory that is made of the input, time that passes and snapshots in between, and then expects a driver that
// does everything right to be heard. Each step of 12 bytes is: what to do, a width, an offset and a value.
func FuzzHDA(f *testing.F) {
	step := func(what, width uint8, off uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64([]byte{what, width, byte(off), byte(off >> 8)}, v)
	}
	f.Add(bytes.Join([][]byte{step(0, 3, regGCTL, 1), step(1, 0, 0, 0), step(0, 3, firstOut, 2|5<<20), step(2, 0, 0, 50), step(3, 0, 0, 0), step(2, 0, 0, 500)}, nil))
	f.Add(bytes.Join([][]byte{step(1, 0, 0, 0), step(1, 0, 3, 0), step(4, 0, 0, 0x1000000000), step(0, 1, firstOut+sdFMT, 0x7fff), step(2, 0, 0, 5000), step(3, 0, 0, 0)}, nil))
	f.Add(bytes.Join([][]byte{step(1, 0, 0, 0), step(0, 7, regCORBBASE, 1<<40), step(0, 1, regCORBWP, 255), step(0, 3, regICOI, 0x2b000), step(0, 1, regICIS, 3)}, nil))
	f.Fuzz(func(t *testing.T, steps []byte) {
		d := newDriver(t)
		for n := 0; len(steps) >= 12 && n < 100; n++ {
			width, off, v := int(steps[1]), binary.LittleEndian.Uint16(steps[2:]), binary.LittleEndian.Uint64(steps[4:])
			switch steps[0] % 5 {
			case 0:
				at := int(off) % 0x200
				if off > 0xf000 {
					at = int(off) % barSize
				}
				d.put(at, width%8+1, v)
				d.get(at, width%8+1)
			case 1:
				d.start()
				d.prepare()
				d.run(off%2 == 0)
			case 2:
				d.clock.Advance(time.Duration(v%10000) * time.Millisecond / 10)
			case 3:
				d.dev.Pause()
				var w state.Writer
				d.dev.Save(&w)
				d.plug()
				if err := d.dev.Restore(state.NewReader(w.Data())); err != nil {
					t.Fatalf("a state that was just saved: %v", err)
				}
				d.dev.Resume()
			case 4:
				binary.LittleEndian.PutUint64(d.host[bdlAt+int(off)%128*8:], v)
			}
			steps = steps[12:]
		}
		d.plays()
	})
}

// plays has a controller that was through anything play from the beginning.
func (d *driver) plays() {
	d.t.Helper()
	d.start()
	d.prepare()
	d.sound.heard = nil
	d.run(true)
	d.clock.Advance(30 * time.Millisecond)
	if want := d.data(dacSecond * 3 / 100); !bytes.Equal(d.heard(), want) {
		d.t.Fatalf("%d bytes were heard, want %d", len(d.sound.heard), len(want))
	}
}

// FuzzRestore feeds arbitrary snapshots to a controller. They may be refused or start it, but leave one that can be reset.
func FuzzRestore(f *testing.F) {
	d := newDriver(f)
	d.start()
	d.prepare()
	d.run(true)
	d.clock.Advance(30 * time.Millisecond)
	d.dev.Pause()
	var w state.Writer
	d.dev.Save(&w)
	f.Add(w.Data())
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		d := newDriver(t)
		_ = d.dev.Restore(state.NewReader(snapshot))
		d.dev.Resume()
		d.clock.Advance(100 * time.Millisecond)
		d.store(ecamBase+1<<15+0x10, 4, windowBase)
		d.store(ecamBase+1<<15+0x14, 4, 0)
		d.store(ecamBase+1<<15+4, 2, 6)
		d.plays()
	})
}

// BenchmarkPlay moves a stream on by a millisecond.
func BenchmarkPlay(b *testing.B) {
	d := newDriver(b)
	d.start()
	d.prepare()
	d.run(true)
	b.ReportAllocs()
	for b.Loop() {
		d.sound.heard = d.sound.heard[:0]
		d.clock.Advance(time.Millisecond)
	}
}
