package console_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/console"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	featureMultiport = 1 << 1
	allFeatures      = 1<<50 - 1
	ringSize         = 32 << 10 // that the host may be behind

	deviceReady, deviceAdd, portReady, consolePort, resize, portOpen, portName = 0, 1, 3, 4, 5, 6, 7
)

// newDevice returns a device that is closed after everything that the test plugs it into.
func newDevice(t testing.TB, c console.Config) *console.Device {
	t.Helper()
	d, err := console.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// terminal is a device with one unnamed console port.
func terminal(t testing.TB, in io.Reader, out io.Writer) *console.Device {
	t.Helper()
	return newDevice(t, console.Config{Ports: []console.PortConfig{{Console: true, In: in, Out: out}}})
}

// sink is a Writer that a test can hold up, break, and wait for.
type sink struct {
	mu      sync.Mutex // guards what follows
	changed sync.Cond
	got     []byte
	held    bool
	err     error
	panicky bool
}

func newSink() *sink {
	s := &sink{}
	s.changed.L = &s.mu
	return s
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held {
		s.changed.Wait()
	}
	if s.panicky {
		panic("sink: told to")
	}
	if s.err != nil {
		return 0, s.err
	}
	s.got = append(s.got, p...)
	s.changed.Broadcast()
	return len(p), nil
}

func (s *sink) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

// wait returns the first n bytes once they have come.
func (s *sink) wait(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.got) < n {
		s.changed.Wait()
	}
	return bytes.Clone(s.got[:n])
}

// all returns what has come.
func (s *sink) all() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got)
}

func pattern(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed ^ byte(i) ^ byte(i>>8)*7
	}
	return p
}

func TestOutput(t *testing.T) {
	out := newSink()
	d := virtiotest.New(t, terminal(t, nil, out))
	d.Start(allFeatures)
	if len(d.Queues) != 2 || d.Offered()&featureMultiport != 0 {
		t.Errorf("a plain terminal has %d queues and offers %#x", len(d.Queues), d.Offered())
	}
	var want []byte
	q := d.Queues[1]
	for i, pieces := range [][][]byte{
		{[]byte("a")}, {[]byte("hello, "), []byte("world\n")}, {pattern(1, 1), pattern(2, 4095), pattern(3, 5000)}, {pattern(4, 3*ringSize)},
	} {
		r := q.Submit(pieces)
		if r.Wait(); r.Written != 0 {
			t.Errorf("%d: %d bytes used", i, r.Written)
		}
		want = append(want, bytes.Join(pieces, nil)...)
	}
	q.Submit(nil, 100).Wait() // nothing to read, nothing wrong
	if got := out.wait(len(want)); !bytes.Equal(got, want) {
		t.Error("other bytes came out than went in")
	}
}

// A host that does not take the guest's output holds up the queue that it comes from and nothing else.
func TestOutputHeldUp(t *testing.T) {
	out := newSink()
	out.held = true
	in, host := io.Pipe()
	defer host.Close()
	d := virtiotest.New(t, terminal(t, in, out))
	d.Start(allFeatures)
	first := pattern(1, 2*ringSize)
	d.Queues[1].Submit([][]byte{first})
	d.Queues[1].Submit([][]byte{pattern(2, 100)})
	go host.Write([]byte("typed"))
	if got := d.Queues[0].Submit(nil, 64).Wait(); string(got) != "typed" {
		t.Errorf("input %q", got)
	}
	d.Transport.Pause() // in the middle of a chain
	d.Transport.Resume()
	if d.Queues[1].Poll() != nil {
		t.Error("output was taken that there is no room for")
	}
	out.set(func() { out.held = false })
	if got := out.wait(len(first) + 100); !bytes.Equal(got, append(first, pattern(2, 100)...)) {
		t.Error("output was lost or doubled by a pause")
	}

	out.set(func() { out.held = true })
	for range 3 { // a reset does not wait for the host
		d.Start(allFeatures)
		d.Queues[1].Submit([][]byte{pattern(3, 2*ringSize)})
	}
	d.Reset()
	out.set(func() { out.held = false })
}

func TestInput(t *testing.T) {
	in, host := io.Pipe()
	defer host.Close()
	d := virtiotest.New(t, terminal(t, in, nil))
	d.Start(allFeatures)
	q := d.Queues[0]
	waiting := q.Submit(nil, 16)
	host.Write([]byte("first"))
	if got := waiting.Wait(); string(got) != "first" {
		t.Errorf("got %q", got)
	}
	data := pattern(1, 10000)
	go host.Write(data) // more than is read ahead, before there are buffers
	var got []byte
	for len(got) < len(data) {
		got = append(got, q.Submit(nil, 1, 500, 600).Wait()...)
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes came in than went out")
	}
	q.Submit([][]byte{{1}}) // a buffer that cannot take input
	go host.Write([]byte("x"))
	d.AwaitReset()
}

// endless is a Reader that counts what was read.
type endless struct {
	read  atomic.Int64
	ended atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.ended.Load() {
		return 0, io.EOF
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestReadAheadIsBounded(t *testing.T) {
	in := &endless{}
	d := virtiotest.New(t, terminal(t, in, nil))
	d.Start(allFeatures)
	taken := 0
	for range 20 {
		taken += len(d.Queues[0].Submit(nil, 1000).Wait())
		if ahead := in.read.Load() - int64(taken); ahead > 16<<10 {
			t.Fatalf("%d bytes read ahead", ahead)
		}
	}
	in.ended.Store(true)
}

func TestConfigSpace(t *testing.T) {
	out := newSink()
	device := terminal(t, nil, out)
	d := virtiotest.New(t, device)
	d.SetDeviceConfig(8, []byte{'!'}) // an emergency write needs no driver
	out.wait(1)
	d.Start(allFeatures)
	if c := d.DeviceConfig(0, 8); !bytes.Equal(c, []byte{80, 0, 25, 0, 1, 0, 0, 0}) {
		t.Errorf("configuration % x", c)
	}
	device.Resize(132, 50)
	d.AwaitConfigChange()
	d.SetDeviceConfig(0, []byte{1, 1, 1, 1, 1, 1, 1, 1})
	d.Write(d.Address(virtiotest.Device)+8, 4, 0xffffff00|'?')
	if c := d.DeviceConfig(0, 12); !bytes.Equal(c, []byte{132, 0, 50, 0, 1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("configuration % x", c)
	}
	if got := out.wait(2); string(got) != "!?" {
		t.Errorf("emergency output %q", got)
	}
	out.set(func() { out.held = true })
	for range 2 * ringSize { // a host that is behind does not stop a vCPU
		d.Write(d.Address(virtiotest.Device)+8, 1, '.')
	}
	out.set(func() { out.held = false })
}

// guest is the control side of a multiport driver.
type guest struct {
	*virtiotest.Driver
	t testing.TB
}

func (g guest) send(id uint32, event, value uint16) {
	g.t.Helper()
	m := binary.LittleEndian.AppendUint32(nil, id)
	m = binary.LittleEndian.AppendUint16(m, event)
	g.Queues[3].Submit([][]byte{binary.LittleEndian.AppendUint16(m, value)}).Wait()
}

// expect takes the next control message.
func (g guest) expect(id uint32, event, value uint16, extra string) {
	g.t.Helper()
	m := g.Queues[2].Submit(nil, 128).Wait()
	if len(m) < 8 {
		g.t.Fatalf("control message % x", m)
	}
	gotID, gotEvent, gotValue := binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint16(m[4:]), binary.LittleEndian.Uint16(m[6:])
	if gotID != id || gotEvent != event || gotValue != value || string(m[8:]) != extra {
		g.t.Errorf("control message %d %d %d %q, want %d %d %d %q", gotID, gotEvent, gotValue, m[8:], id, event, value, extra)
	}
}

// multiport is a console and an agent's port, and their driver up to both ports in use.
func multiport(t testing.TB, ports ...console.PortConfig) (guest, *console.Device) {
	t.Helper()
	device := newDevice(t, console.Config{Ports: ports})
	g := guest{virtiotest.New(t, device), t}
	g.Start(allFeatures)
	g.send(0, deviceReady, 1)
	for i := range ports {
		g.expect(uint32(i), deviceAdd, 0, "")
	}
	return g, device
}

func TestMultiport(t *testing.T) {
	var opened []bool
	out, agent := newSink(), newSink()
	in, host := io.Pipe()
	defer host.Close()
	g, device := multiport(t,
		console.PortConfig{Console: true, Out: out},
		console.PortConfig{Name: "com.redhat.spice.0", In: in, Out: agent, Opened: func(open bool) { opened = append(opened, open) }})
	if len(g.Queues) != 6 {
		t.Fatalf("%d queues", len(g.Queues))
	}
	g.send(0, portReady, 1)
	g.expect(0, consolePort, 1, "")
	g.expect(0, resize, 0, "\x50\x00\x19\x00")
	g.expect(0, portOpen, 1, "")
	g.send(1, portReady, 1)
	g.expect(1, portName, 1, "com.redhat.spice.0")
	g.expect(1, portOpen, 1, "")
	g.send(1, portReady, 1) // again: nothing new

	// Input waits for somebody in the guest to open the port.
	host.Write([]byte("before"))
	r := g.Queues[4].Submit(nil, 100)
	g.Transport.Pause()
	if g.Queues[4].Poll() != nil {
		t.Error("input came to a closed port")
	}
	g.Transport.Resume()
	g.send(1, portOpen, 1)
	if got := r.Wait(); string(got) != "before" {
		t.Errorf("input %q", got)
	}
	g.Queues[5].Submit([][]byte{[]byte("to the agent")}).Wait()
	g.Queues[1].Submit([][]byte{[]byte("to the terminal")}).Wait()
	if got := string(agent.wait(12)) + string(out.wait(15)); got != "to the agentto the terminal" {
		t.Errorf("output %q", got)
	}

	device.Resize(100, 40)
	g.expect(0, resize, 0, "\x64\x00\x28\x00")
	device.SetOpen(1, false)
	g.expect(1, portOpen, 0, "")
	device.SetOpen(1, true)
	g.expect(1, portOpen, 1, "")
	g.send(1, portOpen, 0)
	g.send(1, portOpen, 0)
	g.send(1, portOpen, 1)
	g.Reset()
	if want := []bool{true, false, true, false}; len(opened) != 4 || opened[0] != want[0] || opened[1] != want[1] || opened[3] != want[3] {
		t.Errorf("opened %v, want %v", opened, want)
	}

	// A driver without multiport has port 0 alone, and needs no handshake.
	g.Start(allFeatures &^ featureMultiport)
	g.Queues[1].Submit([][]byte{[]byte("plain")}).Wait()
	out.wait(20)
}

func TestStrangeControlMessages(t *testing.T) {
	g, _ := multiport(t, console.PortConfig{Console: true}, console.PortConfig{Name: "a"})
	g.Queues[3].Submit([][]byte{{1, 2, 3}}).Wait()
	g.send(0, deviceReady, 0)
	g.send(2, portReady, 1)
	g.send(1<<32-1, portOpen, 1)
	g.send(0, 99, 1)
	for range 1000 { // asking again and again does not pile up answers
		g.send(0, deviceReady, 1)
		g.send(1, portReady, 0)
		g.send(1, portReady, 1)
	}
	g.expect(1, portName, 1, "a")
	g.expect(1, portOpen, 1, "")
	g.Queues[2].Submit(nil, 100)
	g.Transport.Pause()
	if g.Queues[2].Poll() != nil {
		t.Error("more answers than there are things to say")
	}
	g.Transport.Resume()

	g.Start(allFeatures)
	g.send(1, portReady, 1) // of a port that it was not told of
	g.Queues[2].Submit(nil, 7)
	g.send(0, deviceReady, 1)
	g.AwaitReset() // the answer does not fit
}

func TestBrokenHost(t *testing.T) {
	out := newSink()
	out.err = errors.New("terminal gone")
	d := virtiotest.New(t, terminal(t, strings.NewReader("in"), out))
	d.Start(allFeatures)
	for range 4 { // the guest goes on
		d.Queues[1].Submit([][]byte{pattern(1, ringSize)}).Wait()
	}
	d.Queues[0].Submit(nil, 10).Wait()

	out = newSink()
	out.panicky = true
	d = virtiotest.New(t, terminal(t, nil, out))
	d.Start(allFeatures)
	for range 4 {
		d.Queues[1].Submit([][]byte{pattern(1, ringSize)}).Wait()
	}
}

func TestCloseGivesUp(t *testing.T) {
	out := newSink()
	out.held = true
	device, err := console.New(console.Config{Ports: []console.PortConfig{{Console: true, Out: out}}})
	if err != nil {
		t.Fatal(err)
	}
	device.WriteConfig(8, []byte{'x'})
	if err := device.Close(); err == nil {
		t.Error("Close says that the output was taken")
	}
	out.set(func() { out.held = false })
	out.wait(1)
}

func TestSnapshotCycle(t *testing.T) {
	out := newSink()
	step := byte(0)
	virtiotest.SnapshotCycle(t,
		func() virtio.Device {
			return newDevice(t, console.Config{Ports: []console.PortConfig{{Console: true, Out: out}, {Name: "agent", In: strings.NewReader("hi")}}})
		},
		func(t *testing.T, d *virtiotest.Driver) {
			g := guest{d, t}
			if d.Queues == nil {
				g.Start(allFeatures)
				g.send(0, deviceReady, 1)
				g.expect(0, deviceAdd, 0, "")
				g.expect(1, deviceAdd, 0, "")
				g.send(0, portReady, 1)
				g.expect(0, consolePort, 1, "")
				g.send(1, portOpen, 1)
			}
			g.expect(0, resize, 0, "\x50\x00\x19\x00") // also for the terminal that it wakes up at
			g.expect(0, portOpen, 1, "")
			if got := d.Queues[4].Submit(nil, 10).Wait(); string(got) != "hi" {
				t.Errorf("input %q", got)
			}
			step++
			data := pattern(step, 100)
			out.set(func() { out.got = nil })
			d.Queues[1].Submit([][]byte{data}).Wait()
			if got := out.wait(len(data)); !bytes.Equal(got, data) {
				t.Error("other output")
			}
		})
}

// A snapshot in the middle of a chain of output loses and repeats nothing.
func TestSnapshotInMidOutput(t *testing.T) {
	before, after := newSink(), newSink()
	before.held = true
	first := terminal(t, nil, before)
	d := virtiotest.New(t, first)
	d.Start(allFeatures)
	data := pattern(1, 3*ringSize)
	r := d.Queues[1].Submit([][]byte{data[:1000], data[1000:]})
	var second *console.Device
	d.Migrate(func() virtio.Device { second = terminal(t, nil, after); return second })
	r.Wait()
	before.set(func() { before.held = false })
	for _, device := range []*console.Device{first, second} {
		if err := device.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := append(before.all(), after.all()...); len(after.all()) == 0 || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came out, %d of them at the second host, and not the %d that went in", len(got), len(after.all()), len(data))
	}
}

func TestNewRefuses(t *testing.T) {
	for name, ports := range map[string][]console.PortConfig{
		"no port":    nil,
		"many ports": make([]console.PortConfig, 17),
		"long name":  {{Name: strings.Repeat("x", 65)}},
	} {
		if _, err := console.New(console.Config{Ports: ports}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestReopened has a guest close a port with more input waiting for it than the device reads ahead: when it opens the port again, none of that comes.
func TestReopened(t *testing.T) {
	in, host := io.Pipe()
	defer host.Close()
	closed := make(chan bool, 9)
	g, _ := multiport(t, console.PortConfig{Name: "agent", In: in, Opened: func(open bool) {
		if !open {
			closed <- true
		}
	}})
	g.send(0, portReady, 1)
	g.expect(0, portName, 1, "agent")
	g.expect(0, portOpen, 1, "")
	g.send(0, portOpen, 1)
	old := bytes.Repeat([]byte("old"), 4000) // more than the ring and the pump hold
	written := make(chan struct{})
	go func() {
		host.Write(old)
		host.Write([]byte("new"))
		close(written)
	}()
	if got := g.Queues[0].Submit(nil, 3).Wait(); string(got) != "old" {
		t.Fatalf("%q", got)
	}
	rest := len(old) - 3
	g.send(0, portOpen, 0)
	<-closed
	g.send(0, portOpen, 1)
	for {
		got := g.Queues[0].Submit(nil, len(old)).Wait()
		if bytes.HasSuffix(got, []byte("new")) {
			rest -= len(got) - 3
			break
		}
		rest -= len(got)
	}
	<-written
	if rest < 4<<10 {
		t.Errorf("only %d bytes of what the guest had not read were dropped", rest)
	}
}
