package flash

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const blocks = 4

// store is a file that remembers what was durable when.
type store struct {
	t  testing.TB
	mu sync.Mutex
	// now is the file, durable what a power cut would leave of it.
	now, durable []byte
	pieces       int
	unsynced     bool
	fail         error
	hold         chan struct{} // Sync waits for it, if it is not nil
}

func newStore(t testing.TB, contents []byte) *store {
	return &store{t: t, now: bytes.Clone(contents), durable: bytes.Clone(contents)}
}

func (s *store) WriteAt(p []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if s.unsynced {
		s.t.Error("a piece was written before the one before it was durable")
	}
	s.pieces++
	s.unsynced = true
	return copy(s.now[at:], p), nil
}

func (s *store) Sync() error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsynced = false
	copy(s.durable, s.now)
	return nil
}

// array counts how often the guest saw the array.
type array struct{ placed, removed int }

func (a *array) Place(uint64) error { a.placed++; return nil }
func (a *array) Remove() error      { a.removed++; return nil }

func newDevice(t testing.TB) (*Device, *store, *array) {
	t.Helper()
	contents := bytes.Repeat([]byte{0xFF}, blocks*BlockSize)
	contents[8] = 0x5A
	s, a := newStore(t, contents), &array{}
	d, err := New(Config{Base: 0xFFC00000, Contents: contents, Array: a, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return d, s, a
}

func read(d *Device, at uint64) uint8 {
	p := []byte{0}
	d.Read(at, p)
	return p[0]
}

func write(d *Device, at uint64, values ...byte) {
	for _, v := range values {
		d.Write(at, []byte{v})
	}
}

// TestProbe is how OVMF's driver finds out that this is a flash chip.
func TestProbe(t *testing.T) {
	d, _, a := newDevice(t)
	write(d, 8, cmdClearStatus)
	if v := read(d, 8); v != 0x5A {
		t.Errorf("after clearing the status the array reads %#x", v)
	}
	write(d, 8, cmdReadStatus)
	if v := read(d, 8); v != 0 {
		t.Errorf("cleared status reads %#x", v)
	}
	write(d, 8, cmdReadArray)
	if v := read(d, 8); v != 0x5A {
		t.Errorf("the array reads %#x", v)
	}
	if a.placed != 2 || a.removed != 1 {
		t.Errorf("the array was shown %d times and hidden %d times", a.placed, a.removed)
	}
}

func TestProgramAndErase(t *testing.T) {
	d, s, a := newDevice(t)
	for i, c := range []byte("variable") {
		write(d, BlockSize+uint64(i), cmdProgram2, c)
	}
	if s.pieces != 0 {
		t.Errorf("%d pieces reached the store before the run ended", s.pieces)
	}
	if v := read(d, 0); v != statusReady {
		t.Errorf("status %#x", v)
	}
	write(d, BlockSize, cmdReadArray)
	d.Pause()
	if s.pieces != 1 || string(s.durable[BlockSize:][:8]) != "variable" {
		t.Errorf("%d pieces, the store holds %q", s.pieces, s.durable[BlockSize:][:8])
	}
	if a.removed != 1 {
		t.Errorf("the array was hidden %d times for one run", a.removed)
	}
	// Bits only go to zero.
	write(d, BlockSize, cmdProgram, 0x0F, cmdReadArray)
	if v := read(d, BlockSize); v != 'v'&0x0F {
		t.Errorf("programmed over 'v': %#x", v)
	}
	// Places that do not touch are pieces of their own.
	write(d, 2*BlockSize, cmdProgram, 1)
	write(d, 3*BlockSize, cmdProgram, 2)
	write(d, 0, cmdReadArray)
	d.Pause()
	if s.pieces != 4 {
		t.Errorf("%d pieces, want 4", s.pieces)
	}
	write(d, BlockSize+77, cmdErase, cmdConfirm)
	write(d, 0, cmdReadArray)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte{0xFF}, BlockSize); !bytes.Equal(s.durable[BlockSize:][:BlockSize], want) {
		t.Error("the erased block is not empty in the store")
	}
	if s.durable[2*BlockSize] != 1 || s.durable[3*BlockSize] != 2 || s.durable[8] != 0x5A {
		t.Error("erasing one block changed another")
	}
	if !bytes.Equal(s.durable, d.cfg.Contents) {
		t.Error("store and chip differ")
	}
}

func TestBuffer(t *testing.T) {
	d, s, _ := newDevice(t)
	write(d, 0x100, cmdBuffer, 2) // three bytes
	for i, c := range []byte("abc") {
		write(d, 0x110+uint64(i), c)
	}
	write(d, 0x100, cmdConfirm, cmdReadArray)
	d.Pause()
	if string(s.durable[0x110:0x113]) != "abc" || s.pieces != 1 {
		t.Errorf("%q in %d pieces", s.durable[0x110:0x113], s.pieces)
	}
	for name, sequence := range map[string]func(){
		"buffer that leaves its block":  func() { write(d, 0x100, cmdBuffer, 1); write(d, 0x200, 1) },
		"buffer that is not confirmed":  func() { write(d, 0x100, cmdBuffer, 0, 1, cmdReadArray) },
		"erasure that is not confirmed": func() { write(d, 0x100, cmdErase, cmdReadArray) },
		"lock that is none":             func() { write(d, 0x100, cmdLock, 0x77) },
	} {
		d.status = 0
		sequence()
		if d.status&statusSequence != statusSequence || d.step != wantCommand {
			t.Errorf("%s: status %#x", name, d.status)
		}
	}
	write(d, 0x100, cmdClearStatus, cmdLock, cmdConfirm)
	if d.status != statusReady {
		t.Errorf("unlocking: status %#x", d.status)
	}
}

func TestIdentity(t *testing.T) {
	d, _, _ := newDevice(t)
	write(d, 0, cmdReadCFI)
	if q := []byte{read(d, 0x10), read(d, 0x11), read(d, 0x12)}; string(q) != "QRY" {
		t.Errorf("query reads %q", q)
	}
	if n := int(read(d, 0x2D)) + 1; n != blocks {
		t.Errorf("%d blocks", n)
	}
	if size := int(read(d, 0x2F)) | int(read(d, 0x30))<<8; size*256 != BlockSize {
		t.Errorf("blocks of %d bytes", size*256)
	}
	write(d, 0, cmdReadID)
	if read(d, 0) != manufacturer || read(d, 1) != device {
		t.Error("wrong identity")
	}
}

// TestOrder holds the first sync: the guest goes on, but the next piece waits.
func TestOrder(t *testing.T) {
	d, s, _ := newDevice(t)
	s.hold = make(chan struct{})
	write(d, 0x20, cmdProgram, 1, cmdReadArray)
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(d, 0x30, cmdProgram, 2, cmdReadArray)
	}()
	s.hold <- struct{}{}
	s.hold <- struct{}{}
	<-done
	d.Pause()
	if s.durable[0x20] != 1 || s.durable[0x30] != 2 {
		t.Error("not all is durable")
	}
}

func TestBrokenStore(t *testing.T) {
	d, s, _ := newDevice(t)
	s.fail = errors.New("no space left")
	write(d, 0x20, cmdProgram, 1, cmdReadStatus)
	if v := read(d, 0); v&statusProgramError == 0 {
		t.Errorf("status %#x", v)
	}
	write(d, 0x20, cmdReadArray)
	if v := read(d, 0x20); v != 1 {
		t.Errorf("the guest reads %#x", v)
	}
}

func fresh(t testing.TB) func() state.Device {
	return func() state.Device { d, _, _ := newDevice(t); return d }
}

func TestState(t *testing.T) {
	d, _, _ := newDevice(t)
	write(d, 0x40, cmdProgram, 7)
	write(d, 0x100, cmdBuffer, 3, 9)
	r := statetest.Cycle(t, d, fresh(t)).(*Device)
	write(r, 0x101, 9, 9, 9)
	write(r, 0x100, cmdConfirm, cmdReadArray)
	if read(r, 0x40) != 7 || read(r, 0x100) != 9 || read(r, 0x101) != 9 {
		t.Error("the restored chip lost something")
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 0x10, 0x10, 0, 0x10, 0x55, 0, 0, 0xff})
	f.Add([]byte{0, 0, 0xE8, 0, 0, 1, 0, 0, 9, 0, 1, 9, 0, 0, 0xD0})
	f.Fuzz(func(t *testing.T, script []byte) {
		d, s, _ := newDevice(t)
		for len(script) >= 3 {
			n := int(script[0]&7) + 1
			at := min(uint64(script[1])*67, blocks*BlockSize-uint64(n))
			if script[0]&0x10 != 0 {
				at &^= BlockSize - 1
			}
			var p [8]byte
			switch {
			case script[0]&0x40 != 0:
				d.Read(at, p[:n])
				script = script[2:]
			case script[0]&0x80 != 0 && len(script)%7 == 0:
				d = statetest.Cycle(t, d, func() state.Device {
					var r *Device
					r, s, _ = newDevice(t)
					return r
				}).(*Device)
				script = script[2:]
			default:
				script = script[2:]
				script = script[copy(p[:n], script):]
				d.Write(at, p[:n])
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.durable, d.cfg.Contents) {
			t.Error("store and chip differ at the end")
		}
	})
}
