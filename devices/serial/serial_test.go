package serial

import (
	"bytes"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

var (
	_ bus.Device   = (*UART)(nil)
	_ state.Device = (*UART)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line records the level.
type line struct {
	mu   sync.Mutex
	high bool
	up   int           // rising edges
	c    chan struct{} // signalled on a rising edge
}

func newLine() *line { return &line{c: make(chan struct{}, 1)} }

func (l *line) SetLevel(high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if high && !l.high {
		l.up++
		notify(l.c)
	}
	l.high = high
}

func (l *line) level() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high
}

// port is a UART as a driver sees it.
type port struct {
	t testing.TB
	*UART
	line *line
}

func newPort(t testing.TB, c Config) port {
	l := newLine()
	c.Line = l
	u := New(c)
	t.Cleanup(u.Close)
	return port{t, u, l}
}

func (p port) in(reg uint64) uint8 {
	var b [1]byte
	p.Read(reg, b[:])
	return b[0]
}

func (p port) out(reg uint64, v uint8) { p.Write(reg, []byte{v}) }

func (p port) want(what string, got, want uint8) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s is %#02x, want %#02x", what, got, want)
	}
}

// loopback returns a UART whose transmitter feeds its receiver, FIFO as given.
func loopback(t testing.TB, fcr uint8) port {
	p := newPort(t, Config{})
	p.out(regMCR, mcrLoop)
	p.out(regIIR, fcr)
	return p
}

func TestReset(t *testing.T) {
	p := newPort(t, Config{})
	p.want("IER", p.in(regIER), 0)
	p.want("IIR", p.in(regIIR), 1)
	p.want("LCR", p.in(regLCR), 0)
	p.want("MCR", p.in(regMCR), 0)
	p.want("LSR", p.in(regLSR), 0x60)
	p.want("MSR", p.in(regMSR), 0xB0)
	p.want("RBR", p.in(regData), 0)
	if p.line.level() {
		t.Error("interrupt after reset")
	}
}

func TestDivisorLatch(t *testing.T) {
	p := newPort(t, Config{})
	p.out(regIER, 0x05)
	p.out(regLCR, 0x83)
	p.out(regData, 0x34)
	p.out(regIER, 0x12)
	p.want("DLL", p.in(regData), 0x34)
	p.want("DLM", p.in(regIER), 0x12)
	p.out(regLCR, 0x03)
	p.want("IER", p.in(regIER), 0x05)
	p.want("LCR", p.in(regLCR), 0x03)
}

func TestUnusedBitsReadZero(t *testing.T) {
	p := newPort(t, Config{})
	p.out(regMCR, 0xFF&^mcrLoop)
	p.out(regIER, 0xFF)
	p.out(regScratch, 0x5A)
	p.want("MCR", p.in(regMCR), 0x0F)
	p.want("IER", p.in(regIER), 0x0F)
	p.want("scratch", p.in(regScratch), 0x5A)
	p.out(regIIR, 0xC0) // no FIFO: the trigger bits do not stick
	p.want("IIR", p.in(regIIR)&iirFIFO, 0)
	p.out(regIIR, 0x01)
	p.want("IIR", p.in(regIIR)&iirFIFO, iirFIFO)
}

func TestLoopbackModem(t *testing.T) {
	p := newPort(t, Config{})
	p.in(regMSR)
	for _, c := range []struct{ mcr, msr uint8 }{
		{mcrLoop, 0x0B},                         // CTS, DSR and DCD went away
		{mcrLoop | mcrRTS, 0x11},                // CTS
		{mcrLoop | mcrRTS | mcrDTR, 0x32},       // and DSR
		{mcrLoop | mcrOut1, 0x40 | 0x03},        // RI rises: no delta for it
		{mcrLoop | mcrOut2, 0x80 | 0x08 | 0x04}, // RI falls: trailing edge
		{mcrLoop | mcrOut2, 0x80},               // nothing changed
		{mcrLoop | 0x0F, 0xF0 | 0x03},           // all
		{mcrOut2, 0xB0 | 0x04},                  // back to the peer: RI falls
	} {
		p.out(regMCR, c.mcr)
		p.want("MSR", p.in(regMSR), c.msr)
	}
}

func TestReceiveFIFO(t *testing.T) {
	for _, c := range []struct {
		fcr     uint8
		trigger int
	}{{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xC1, 14}} {
		p := loopback(t, c.fcr)
		p.out(regIER, ierReceive)
		for i := 1; i <= fifoSize; i++ {
			p.out(regData, uint8(i))
			want := uint8(iirFIFO | iirTimeout)
			if i >= c.trigger {
				want = iirFIFO | iirReceive
			}
			p.want("IIR", p.in(regIIR), want)
		}
		p.want("LSR", p.in(regLSR), 0x61)
		p.out(regData, 99) // overrun: lost
		p.want("LSR", p.in(regLSR), 0x63)
		p.want("LSR again", p.in(regLSR), 0x61)
		for i := 1; i <= fifoSize; i++ {
			p.want("RBR", p.in(regData), uint8(i))
		}
		p.want("LSR", p.in(regLSR), 0x60)
		p.want("IIR", p.in(regIIR), iirFIFO|iirNone)
	}
}

func TestReceiveWithoutFIFO(t *testing.T) {
	p := loopback(t, 0)
	p.out(regIER, ierReceive|ierLine)
	p.out(regData, 'a')
	p.want("IIR", p.in(regIIR), iirReceive)
	p.out(regData, 'b')
	p.want("IIR", p.in(regIIR), iirLine)
	p.want("LSR", p.in(regLSR), 0x63)
	p.want("RBR", p.in(regData), 'a')
	p.want("IIR", p.in(regIIR), iirNone)
}

func TestFIFOReset(t *testing.T) {
	p := loopback(t, fcrEnable)
	p.out(regData, 'x')
	p.out(regIIR, fcrEnable|fcrClearTX)
	p.want("LSR", p.in(regLSR), 0x61)
	p.out(regIIR, fcrEnable|fcrClearRX)
	p.want("LSR", p.in(regLSR), 0x60)
	p.out(regData, 'x')
	p.out(regIIR, 0) // leaving FIFO mode clears as well
	p.want("LSR", p.in(regLSR), 0x60)
}

// The four conditions, all pending, are reported one by one in order of priority.
func TestInterruptPriority(t *testing.T) {
	p := loopback(t, 0)
	p.in(regMSR)
	p.out(regMCR, mcrLoop|mcrRTS) // modem status changes
	p.out(regData, 1)
	p.out(regData, 2) // overrun
	p.out(regIER, ierAll)
	p.want("first", p.in(regIIR), iirLine)
	p.in(regLSR)
	p.want("second", p.in(regIIR), iirReceive)
	p.in(regData)
	p.want("third", p.in(regIIR), iirTransmit) // reading it takes it back
	p.want("fourth", p.in(regIIR), iirModem)
	p.in(regMSR)
	p.want("last", p.in(regIIR), iirNone)
}

func TestTransmitInterrupt(t *testing.T) {
	p := newPort(t, Config{})
	p.out(regMCR, mcrOut2)
	p.out(regIER, ierTransmit)
	if !p.line.level() {
		t.Error("enabling the interrupt with nothing to send does not raise it")
	}
	p.want("IIR", p.in(regIIR), iirTransmit)
	if p.line.level() {
		t.Error("reading IIR does not lower the line")
	}
	p.out(regIER, ierTransmit)
	if p.line.level() {
		t.Error("enabling it again raises it")
	}
	p.out(regData, 'x')
	if !p.line.level() {
		t.Error("no interrupt after a byte has left")
	}
}

func TestOut2GatesInterrupt(t *testing.T) {
	p := newPort(t, Config{})
	p.out(regIER, ierTransmit)
	if p.line.level() {
		t.Error("interrupt without OUT2")
	}
	p.out(regMCR, mcrOut2)
	if !p.line.level() {
		t.Error("no interrupt with OUT2")
	}
	p.out(regMCR, mcrOut2|mcrLoop)
	if p.line.level() {
		t.Error("interrupt in loopback, which disconnects OUT2")
	}
}

// lockedBuffer is a writer to read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOutput(t *testing.T) {
	var out lockedBuffer
	p := newPort(t, Config{Output: &out})
	want := strings.Repeat("The quick brown fox. ", 10_000)
	for i := range len(want) {
		p.out(regData, want[i])
	}
	p.Close()
	if got := out.b.String(); got != want || p.Lost() != 0 {
		t.Errorf("%d of %d bytes arrived, %d lost", len(got), len(want), p.Lost())
	}
}

// gate is a writer that lets nothing through until opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	lockedBuffer
}

func newGate() *gate { return &gate{open: make(chan struct{}), entered: make(chan struct{}, 1)} }

func (g *gate) Write(p []byte) (int, error) {
	notify(g.entered)
	<-g.open
	return g.lockedBuffer.Write(p)
}

// A writer that is stuck makes the transmitter busy; the guest that heeds this loses nothing and is interrupted when it may go on.
func TestBackpressure(t *testing.T) {
	g := newGate()
	p := newPort(t, Config{Output: g})
	p.out(regMCR, mcrOut2)
	n := 0
	for p.in(regLSR)&lsrTransmit != 0 {
		for range fifoSize {
			p.out(regData, byte(n))
			n++
		}
		if n > 2*ringSize {
			t.Fatal("the transmitter is never busy")
		}
	}
	p.out(regIER, ierTransmit)
	p.in(regIIR)
	if p.line.level() {
		t.Fatal("transmitter-empty interrupt while it is busy")
	}
	close(g.open)
	<-p.line.c
	if p.in(regLSR)&lsrTransmit == 0 {
		t.Error("interrupted, but still busy")
	}
	p.Close()
	if got := g.b.Len(); got != n || p.Lost() != 0 {
		t.Errorf("%d of %d bytes, %d lost", got, n, p.Lost())
	}
}

// A guest that sends regardless is held up once and then loses what does not fit: it must not hang.
func TestRunawayGuest(t *testing.T) {
	g := newGate()
	p := newPort(t, Config{Output: g})
	start := time.Now()
	for range ringSize + 100_000 {
		p.out(regData, 'x')
	}
	if d := time.Since(start); d < maxStall || d > 20*maxStall {
		t.Errorf("took %v", d)
	}
	if p.Lost() == 0 {
		t.Error("nothing lost, though nothing was written")
	}
	close(g.open)
	p.Close()
	if got := uint64(g.b.Len()) + p.Lost(); got != ringSize+100_000 {
		t.Errorf("%d bytes written or counted as lost", got)
	}
}

func TestInput(t *testing.T) {
	text := strings.Repeat("all of this was typed ", 1000)
	p := newPort(t, Config{Input: strings.NewReader(text)})
	p.out(regIIR, fcrEnable|2<<6)
	p.out(regMCR, mcrOut2)
	p.out(regIER, ierReceive)
	var got []byte
	for len(got) < len(text) {
		<-p.line.c
		for p.in(regLSR)&lsrData != 0 {
			got = append(got, p.in(regData))
		}
		// A driver that leaves its handler with data in the FIFO is interrupted again only by an edge.
		if p.line.level() {
			notify(p.line.c)
		}
	}
	if string(got) != text {
		t.Error("the text arrived changed")
	}
}

// counted counts what was taken from an endless reader.
type counted struct {
	mu sync.Mutex
	n  int
}

func (c *counted) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(p)
	return len(p), nil
}

// Input that the guest does not take must not pile up here.
func TestInputIsBounded(t *testing.T) {
	c := &counted{}
	p := newPort(t, Config{Input: c})
	p.out(regIIR, fcrEnable)
	for range 10_000 {
		p.in(regData)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n > 10_000+3*inputSize {
		t.Errorf("%d bytes read for 10000 taken", c.n)
	}
}

func TestWideAccess(t *testing.T) {
	p := newPort(t, Config{})
	p.Write(regLCR, []byte{0x03, mcrOut2})
	var b [4]byte
	p.Read(regIIR, b[:])
	if b != [4]byte{0x01, 0x03, mcrOut2, 0x60} {
		t.Errorf("% x", b)
	}
	p.Write(0, make([]byte, 8))
	p.Read(0, make([]byte, 8))
}

func TestStateCycle(t *testing.T) {
	g := newGate()
	r, w := io.Pipe()
	defer w.Close()
	p := newPort(t, Config{Output: g, Input: r})
	p.out(regIIR, fcrEnable|3<<6)
	p.out(regLCR, 0x83)
	p.out(regData, 7)
	p.out(regLCR, 0x03)
	p.out(regScratch, 0xAA)
	p.out(regMCR, mcrOut2|mcrDTR)
	for _, c := range []byte("output") {
		p.out(regData, c)
	}
	<-g.entered
	if _, err := w.Write([]byte("more input than the FIFO holds")); err != nil {
		t.Fatal(err)
	}
	p.out(regIER, ierReceive)
	<-p.line.c
	var out *lockedBuffer
	var typing *io.PipeWriter
	var q port
	statetest.Cycle(t, p.UART, func() state.Device {
		out = &lockedBuffer{}
		r, w := io.Pipe()
		t.Cleanup(func() { w.Close() })
		typing = w
		q = newPort(t, Config{Output: out, Input: r})
		return q.UART
	})
	go func() { _, _ = io.WriteString(typing, " and new") }()
	if !q.line.level() {
		t.Error("the pending interrupt is gone")
	}
	q.want("scratch", q.in(regScratch), 0xAA)
	q.want("MCR", q.in(regMCR), mcrOut2|mcrDTR)
	q.want("LCR", q.in(regLCR), 0x03)
	q.want("IIR", q.in(regIIR), iirFIFO|iirReceive)
	var got []byte
	for q.in(regLSR)&lsrData != 0 {
		got = append(got, q.in(regData))
	}
	if !strings.HasPrefix("more input than the FIFO holds and new", string(got)) || len(got) < 30 {
		t.Errorf("received %q", got)
	}
	q.Close()
	if out.b.String() != "output" {
		t.Errorf("sent %q", out.b.String())
	}
	close(g.open)
}

// TestSuspended has a machine saved and powered off: what its guest sent is written once, by it or by the one that goes on.
func TestSuspended(t *testing.T) {
	var s state.Writer
	suspend := func(p port) {
		for _, c := range []byte("output") {
			p.out(regData, c)
		}
		p.Pause()
		p.Save(&s)
	}
	goOn := func() string {
		out := &lockedBuffer{}
		p := newPort(t, Config{Output: out})
		if err := p.Restore(state.NewReader(s.Data())); err != nil {
			t.Fatal(err)
		}
		p.Resume()
		p.Close()
		return out.String()
	}

	out := &lockedBuffer{}
	p := newPort(t, Config{Output: out})
	suspend(p)
	if got := out.String(); got != "output" {
		t.Errorf("%q was written when it was saved", got)
	}
	p.Close()
	if got := out.String() + goOn(); got != "output" {
		t.Errorf("both wrote %q", got)
	}

	s = state.Writer{}
	g := newGate()
	p = newPort(t, Config{Output: g})
	p.out(regData, '>')
	<-g.entered // the writer is stuck: what comes now waits
	suspend(p)
	close(g.open)
	p.Close()
	if got := g.String(); got != ">" {
		t.Errorf("the machine that was saved wrote %q", got)
	}
	if got := goOn(); got != ">output" { // what was under way may be there twice
		t.Errorf("the machine that goes on wrote %q", got)
	}
}

// A guest that does not read, suspended again and again while somebody types, leaves snapshots that can be restored: what was typed first is kept.
func TestHeldInputIsBounded(t *testing.T) {
	var s state.Writer
	for range 3 {
		c := &counted{}
		p := newPort(t, Config{Input: c})
		for p.UART.in.held() == nil {
			runtime.Gosched()
		}
		if s.Data() != nil {
			if err := p.Restore(state.NewReader(s.Data())); err != nil {
				t.Fatal(err)
			}
		}
		p.Pause()
		s = state.Writer{}
		p.Save(&s)
		p.Resume()
	}
}

func TestRestoreRefuses(t *testing.T) {
	var s state.Writer
	p := newPort(t, Config{})
	p.Save(&s)
	good := s.Data()
	for i := range good {
		r := state.NewReader(good[:i])
		if newPort(t, Config{}).Restore(r) == nil {
			t.Errorf("accepted %d of %d bytes", i, len(good))
		}
	}
	header := len(good) - 8 - 2 - 3*4
	for _, c := range []struct {
		off int
		v   byte
	}{{0, 0x10}, {1, 0x02}, {1, 0x40}, {3, 0x20}, {7, 0x10}, {8, 2}} {
		bad := bytes.Clone(good)
		bad[header+c.off] = c.v
		if newPort(t, Config{}).Restore(state.NewReader(bad)) == nil {
			t.Errorf("accepted %#x at register %d", c.v, c.off)
		}
	}
}

// FuzzUART runs any sequence of accesses, with snapshots in between: the restored device must be in the state of the saved one.
func FuzzUART(f *testing.F) {
	f.Add([]byte{0x13, 0x83, 0x10, 0x01, 0x13, 0x03, 0x14, 0x1B, 0x10, 'x', 0x00, 0x00, 0xFF, 0x05, 0x00})
	f.Add([]byte{0x12, 0xC1, 0x11, 0x0F, 0x14, 0x10, 0x10, 1, 0x10, 2, 0xFF, 0x02, 0, 0x75, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		u := New(Config{Line: irq.LineFunc(func(bool) {})})
		for ; len(ops) >= 2; ops = ops[2:] {
			reg, width := uint64(ops[0]&7), 1+int(ops[0]>>5&3)
			width = min(width, Size-int(reg))
			switch {
			case ops[0] == 0xFF:
				v := New(Config{Line: irq.LineFunc(func(bool) {})})
				statetest.Hand(t, u, v)
				u = v
			case ops[0]&0x10 != 0:
				u.Write(reg, bytes.Repeat(ops[1:2], width))
			default:
				u.Read(reg, make([]byte, width))
			}
			if u.rxLen > u.capacity() {
				t.Fatalf("%d bytes in a receiver of %d", u.rxLen, u.capacity())
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	u := New(Config{Line: irq.LineFunc(func(bool) {})})
	var s state.Writer
	u.Save(&s)
	f.Add(s.Data())
	f.Fuzz(func(t *testing.T, data []byte) {
		u := New(Config{Line: irq.LineFunc(func(bool) {})})
		if u.Restore(state.NewReader(data)) == nil {
			u.Read(0, make([]byte, 8))
			u.Write(0, make([]byte, 8))
		}
	})
}

func BenchmarkTransmit(b *testing.B) {
	u := New(Config{Line: irq.LineFunc(func(bool) {}), Output: io.Discard})
	defer u.Close()
	p := []byte{'x'}
	b.ReportAllocs()
	for b.Loop() {
		u.Write(regData, p)
	}
}

// A character costs no allocation.
func TestTransmitDoesNotAllocate(t *testing.T) {
	p := newPort(t, Config{Output: io.Discard})
	b := []byte{'x'}
	p.Write(regData, b)
	if n := testing.AllocsPerRun(1000, func() { p.Write(regData, b) }); n != 0 {
		t.Errorf("%v allocations for a character", n)
	}
}

// TestCloseLeavesTheLine has a writer come back after Close has given up on it: the machine that the line belonged to is gone by then.
func TestCloseLeavesTheLine(t *testing.T) {
	in, out := io.Pipe()
	p := newPort(t, Config{Output: out})
	p.out(regMCR, mcrOut2)
	for range ringSize + 1 { // the writer waits, the last byte does not fit
		p.out(regData, 'x')
	}
	p.out(regIER, ierTransmit) // to be told of room
	if p.line.level() {
		t.Fatal("the ring is not full")
	}
	p.Close()
	go func() { _, _ = io.Copy(io.Discard, in) }()
	<-p.UART.out.ended
	if p.line.level() {
		t.Error("the line was raised after Close")
	}
	_ = out.Close()
}

// TestPanicWhileSending has the transmitter panic in a vCPU's access, which the run loop recovers: the UART is still there.
func TestPanicWhileSending(t *testing.T) {
	p := newPort(t, Config{Output: io.Discard})
	o := p.UART.out
	move := func(head int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.head = head
	}
	move(-1) // a bug
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
			move(0)
		}()
		p.out(regData, 'x')
	}()
	p.out(regScratch, 0x5a)
	p.want("the scratch register", p.in(regScratch), 0x5a)
}

// failing panics in each of its methods.
type failing struct{}

func (failing) Write([]byte) (int, error) { panic("broken writer") }
func (failing) Read([]byte) (int, error)  { panic("broken reader") }

// TestPanickingHost has the host's reader and writer panic: neither ends the process nor holds up the guest, and both are named in the log.
func TestPanickingHost(t *testing.T) {
	var log lockedBuffer
	p := newPort(t, Config{Output: failing{}, Input: failing{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	p.out(regIER, ierTransmit)
	p.out(regData, 'x')
	<-p.UART.out.ended
	for range 2 * ringSize {
		p.out(regData, 'x')
	}
	if o := p.UART.out; o.stalled {
		t.Error("the guest waited for a writer that is gone")
	}
	p.want("line status", p.in(regLSR), lsrTransmit|lsrIdle)
	if p.Lost() != 2*ringSize+1 {
		t.Errorf("%d bytes are lost, want %d", p.Lost(), 2*ringSize+1)
	}
	p.Close() // also when the reader has not panicked yet
	for _, want := range []string{"broken writer", "serial output"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}
