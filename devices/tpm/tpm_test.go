package tpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// fake is a TPM that answers each command with its own bytes behind the header.
type fake struct {
	begun   chan []byte   // takes each command; nil for nobody
	proceed chan struct{} // a command waits for it; nil does not
	err     error
	length  int // of responses, in place of the right one
}

func (f *fake) Execute(command, response []byte) (int, error) {
	if f.begun != nil {
		f.begun <- bytes.Clone(command)
	}
	if f.proceed != nil {
		<-f.proceed
	}
	if f.err != nil {
		return 0, f.err
	}
	n := copy(response, command)
	binary.BigEndian.PutUint32(response[6:], 0)
	if f.length != 0 {
		n = f.length
	}
	return n, nil
}

type rig struct {
	testing.TB
	*Device
}

func newRig(t testing.TB, b Backend) *rig {
	r := &rig{t, New(Config{Backend: b, Base: layout.TPM})}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) get(at uint64) uint32 {
	var b [4]byte
	r.Read(at, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (r *rig) put(at uint64, v uint32) { r.Write(at, binary.LittleEndian.AppendUint32(nil, v)) }

// ready takes locality 0 and leaves Idle.
func (r *rig) ready() {
	r.put(regLocControl, locRequest)
	r.put(regRequest, requestReady)
}

// send puts a command into the buffer, 8 bytes at a time, and starts it.
func (r *rig) send(size uint32, rest ...byte) {
	c := command(size, rest...)
	for at := 0; at < len(c); at += 8 {
		r.Write(regBuffer+uint64(at), c[at:min(at+8, len(c))])
	}
	r.put(regStart, bitStart)
}

func command(size uint32, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, size)
	b = binary.BigEndian.AppendUint32(b, 0x17B)
	return append(b, rest...)
}

// response waits for the command to complete and returns what is in the buffer.
func (r *rig) response() []byte {
	for r.get(regStart) != 0 {
		runtime.Gosched()
	}
	b := make([]byte, BufferSize)
	for at := 0; at < len(b); at += 8 {
		r.Read(regBuffer+uint64(at), b[at:at+8])
	}
	return b[:min(binary.BigEndian.Uint32(b[sizeOffset:]), BufferSize)]
}

func (r *rig) code() uint32 { return binary.BigEndian.Uint32(r.response()[6:]) }

func TestIdentity(t *testing.T) {
	r := newRig(t, &fake{})
	for at, want := range map[uint64]uint32{
		0x00: 0x81, 0x0C: 0, 0x30: 0x25811, 0x34: 0x00011014, 0x44: 2, 0x4C: 0,
		0x58: 0xF80, 0x5C: 0xFED40080, 0x60: 0, 0x64: 0xF80, 0x68: 0xFED40080, 0x6C: 0,
	} {
		if got := r.get(at); got != want {
			t.Errorf("register %#x: %#x, want %#x", at, got, want)
		}
	}
	if layout.TPMSize != Size || layout.TPMControl != ControlArea {
		t.Error("the board's layout disagrees")
	}
	b := make([]byte, 5)
	r.Read(0x31, b)
	if !bytes.Equal(b, []byte{0x58, 0x02, 0, 0x14, 0x10}) {
		t.Errorf("across registers % x", b)
	}
	r.Read(0x7E, b)
	if !bytes.Equal(b, make([]byte, 5)) {
		t.Errorf("into the buffer % x", b)
	}
}

func TestLocality(t *testing.T) {
	r := newRig(t, &fake{})
	r.put(regRequest, requestReady)
	if r.get(regStatus) != statusIdle {
		t.Error("ready without a locality")
	}
	r.put(regLocControl, locRequest)
	if r.get(regLocStatus) != 1 || r.get(regLocState) != 0x83 {
		t.Errorf("status %#x, state %#x", r.get(regLocStatus), r.get(regLocState))
	}
	r.put(regLocControl, locRelinquish)
	if r.get(regLocStatus) != 0 || r.get(regLocState) != 0x81 {
		t.Errorf("status %#x, state %#x", r.get(regLocStatus), r.get(regLocState))
	}
}

// TestFirstCommand sends a command as SeaBIOS does its first one, from Idle.
func TestFirstCommand(t *testing.T) {
	f := &fake{begun: make(chan []byte, 1), proceed: make(chan struct{})}
	r := newRig(t, f)
	r.put(regLocControl, locRequest)
	r.send(12, 1, 2)
	if got := <-f.begun; !bytes.Equal(got, command(12, 1, 2)) {
		t.Fatalf("command % x", got)
	}
	close(f.proceed)
	if got := r.response(); len(got) < headerSize || r.get(regStatus) != 0 {
		t.Errorf("response % x, status %#x", got, r.get(regStatus))
	}
}

func TestCommand(t *testing.T) {
	f := &fake{begun: make(chan []byte, 1), proceed: make(chan struct{})}
	r := newRig(t, f)
	r.send(12, 1, 2)
	if r.get(regStart) != 0 {
		t.Fatal("a command starts without a locality")
	}
	r.ready()
	r.send(12, 1, 2)
	if got := <-f.begun; !bytes.Equal(got, command(12, 1, 2)) {
		t.Fatalf("command % x", got)
	}
	if r.get(regStart) != 1 {
		t.Error("it has completed")
	}
	r.put(regBuffer, 0xFFFFFFFF)
	r.put(regRequest, requestIdle)
	r.put(regStart, bitStart)
	r.put(regCancel, bitCancel)
	if r.get(regCancel) != 1 || r.get(regStart) != 1 || r.get(regStatus) != 0 {
		t.Error("the guest interferes with a command")
	}
	f.proceed <- struct{}{}
	if got := r.response(); !bytes.Equal(got[10:], []byte{1, 2}) || r.code() != 0 {
		t.Errorf("response % x", got)
	}
	r.put(regRequest, requestIdle)
	if r.get(regStatus) != statusIdle || r.get(regBuffer) != 0 {
		t.Error("the response survives Idle")
	}
}

// TestCommandSize has commands say that they are shorter or longer than any command.
func TestCommandSize(t *testing.T) {
	r := newRig(t, &fake{})
	r.ready()
	for size, want := range map[uint32]uint32{0: rcCommandSize, 9: rcCommandSize, 10: 0, BufferSize: 0, BufferSize + 1: rcCommandSize, 0xFFFFFFFF: rcCommandSize} {
		r.send(size)
		if got := r.code(); got != want {
			t.Errorf("%d bytes: response code %#x, want %#x", size, got, want)
		}
	}
}

func TestCancel(t *testing.T) {
	f := &fake{begun: make(chan []byte, 1)}
	r := newRig(t, f)
	r.ready()
	r.Pause()
	r.send(10)
	r.put(regCancel, bitCancel)
	if got := r.code(); got != rcCanceled {
		t.Errorf("response code %#x", got)
	}
	r.put(regCancel, 0)
	r.Resume()
	r.send(11, 7)
	if got := <-f.begun; len(got) != 11 {
		t.Errorf("command % x", got)
	}
}

func TestFailure(t *testing.T) {
	for name, f := range map[string]*fake{
		"error": {err: errors.New("gone")}, "short": {length: 9}, "long": {length: BufferSize + 1},
		"panic": {begun: closed()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, f)
			r.ready()
			for range 2 {
				r.send(10)
				if got := r.code(); got != rcFailure || r.get(regStatus) != statusFailed {
					t.Errorf("response code %#x, status %#x", got, r.get(regStatus))
				}
			}
		})
	}
}

// closed returns a channel that panics who sends.
func closed() chan []byte {
	c := make(chan []byte)
	close(c)
	return c
}

// TestSnapshot saves a command that has started and not begun.
func TestSnapshot(t *testing.T) {
	r := newRig(t, &fake{})
	r.ready()
	r.Pause()
	r.send(12, 5, 6)
	var q *rig
	statetest.Cycle(t, r.Device, func() state.Device { q = newRig(t, &fake{}); return q.Device })
	if got := q.response(); !bytes.Equal(got[10:], []byte{5, 6}) {
		t.Errorf("response % x", got)
	}
}

// TestPauseWaits checks that no command is half done in a snapshot.
func TestPauseWaits(t *testing.T) {
	f := &fake{begun: make(chan []byte), proceed: make(chan struct{})}
	r := newRig(t, f)
	r.ready()
	r.send(10)
	<-f.begun
	paused := make(chan struct{})
	go func() {
		r.Pause()
		close(paused)
	}()
	select {
	case <-paused:
		t.Error("paused amid a command")
	case f.proceed <- struct{}{}:
	}
	<-paused
	if r.get(regStart) != 0 {
		t.Error("the command is still under way")
	}
}

func FuzzDevice(f *testing.F) {
	start := []byte{0x08, 3, 1, 0x40, 3, 1, 0x82, 1, 0, 0x84, 1, 12, 0x4C, 3, 1}
	f.Add(start)
	f.Add(append(start, 0xFE, 0, 0, 0x7E, 7, 9, 0x40, 3, 2))
	f.Add(append([]byte{0xFD, 0, 0}, append(start, 0x48, 3, 1, 0xFE, 0, 0, 0xFC, 0, 0)...))
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t, &fake{})
		for n := 0; len(ops) >= 3 && n < 200; ops, n = ops[3:], n+1 {
			switch ops[0] {
			case 0xFC:
				r.Resume()
			case 0xFD:
				r.Pause()
			case 0xFE:
				q := newRig(t, &fake{})
				statetest.Hand(t, r, q)
				r = q
			default:
				at := uint64(ops[0])
				if at >= 0xF0 {
					at += Size - 0x100 - 8
				}
				p := append(make([]byte, 0, 8), ops[2], 0, 0, 0, 0, 0, 0, 0)[:1+int(ops[1]&7)]
				r.Write(at, p)
				r.Read(at, p)
			}
		}
		r.Resume()
		r.response()
	})
}
