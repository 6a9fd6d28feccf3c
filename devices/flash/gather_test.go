package flash

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"
)

// ringSize is how many stores KVM's ring holds; the one after them exits.
const ringSize = 169

// stores is what KVM does, with a guest of one processor.
type stores struct {
	d      *Device
	refuse error
	mu     sync.Mutex // of the ring
	on     bool
	ring   []access
	turn   sync.Mutex // of those who deliver
	exits  int
}

type access struct {
	at uint64
	p  []byte
}

func (s *stores) Collect(on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.on = on
	return nil
}

func (s *stores) Deliver() {
	s.turn.Lock()
	defer s.turn.Unlock()
	for {
		s.mu.Lock()
		if len(s.ring) == 0 {
			s.mu.Unlock()
			return
		}
		a := s.ring[0]
		s.mu.Unlock()
		s.d.Write(a.at, a.p)
		s.mu.Lock()
		s.ring = s.ring[1:]
		s.mu.Unlock()
	}
}

// store is the guest's.
func (s *stores) store(at uint64, p ...byte) {
	s.mu.Lock()
	if s.on && len(s.ring) < ringSize {
		s.ring = append(s.ring, access{at, bytes.Clone(p)})
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.exits++
	s.Deliver()
	s.d.Write(at, p)
}

// load is the guest's: it exits only where the array is hidden.
func (s *stores) load(at uint64, p []byte) {
	s.d.mu.Lock()
	if s.d.shown {
		copy(p, s.d.cfg.Contents[at:])
		s.d.mu.Unlock()
		return
	}
	s.d.mu.Unlock()
	s.exits++
	s.Deliver()
	s.d.Read(at, p)
}

func newGathered(t testing.TB) (*stores, *store) {
	t.Helper()
	contents := bytes.Repeat([]byte{0xFF}, blocks*BlockSize)
	file, s := newStore(t, contents), &stores{}
	d, err := New(Config{Base: 0xFFC00000, Contents: contents, Array: &array{}, Stores: s, Store: file})
	if err != nil {
		t.Fatal(err)
	}
	s.d = d
	return s, file
}

// program is how OVMF's driver writes: byte by byte, and then back to the array.
func (s *stores) program(at uint64, data []byte) {
	for i, v := range data {
		s.store(at+uint64(i), cmdProgram2)
		s.store(at+uint64(i), v)
	}
	s.store(at+uint64(len(data))-1, cmdReadArray)
}

// TestGather programs many pieces and reads each of them back. There are about as many exits as pieces, and the file has all of it.
func TestGather(t *testing.T) {
	s, file := newGathered(t)
	const pieces, size = 20, 300
	for i := range pieces {
		// Every other piece fits into the ring.
		piece, at := bytes.Repeat([]byte{byte(i)}, size-i%2*(size-40)), uint64(i*size)
		s.program(at, piece)
		got := make([]byte, len(piece))
		s.load(at, got)
		if !bytes.Equal(got, piece) {
			t.Fatalf("piece %d reads %x", i, got[:8])
		}
	}
	// Each piece: the first store, what the ring did not hold, and the first read.
	if limit := pieces * (2 + 2*size/ringSize + 1); s.exits > limit {
		t.Errorf("%d exits, %d at most were expected", s.exits, limit)
	}
	if err := s.d.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file.durable, s.d.cfg.Contents) {
		t.Error("store and chip differ at the end")
	}
}

// TestGatherRests has a guest program a byte and look away: it reaches the file, and the array is shown again, without any access.
func TestGatherRests(t *testing.T) {
	s, file := newGathered(t)
	s.program(0x20, []byte{7})
	deadline := time.Now().Add(10 * time.Second)
	for done := false; !done; time.Sleep(time.Millisecond) {
		s.d.mu.Lock()
		done = s.d.shown
		s.d.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("the array stays hidden")
		}
	}
	s.d.Pause()
	if file.durable[0x20] != 7 || s.on {
		t.Errorf("the file has %#x; collecting: %v", file.durable[0x20], s.on)
	}
	// And once more, from the beginning.
	s.program(0x20, []byte{3})
	got := []byte{0}
	if s.load(0x20, got); got[0] != 3 {
		t.Errorf("the second time the array reads %#x", got[0])
	}
}

// TestGatherStatus leaves the chip to its status, as OVMF's driver does after an erasure: reads go on exiting and show it, also after the rest.
func TestGatherStatus(t *testing.T) {
	s, _ := newGathered(t)
	s.program(0x20, []byte{7})
	s.store(0, cmdErase)
	s.store(0, cmdConfirm)
	deadline := time.Now().Add(10 * time.Second)
	for collecting := true; collecting; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		collecting = s.on
		s.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("stores go on being collected")
		}
	}
	got := []byte{0}
	if s.load(0x20, got); got[0] != statusReady {
		t.Errorf("the status reads %#x", got[0])
	}
	s.program(0x30, []byte{1})
	if s.load(0x20, got); got[0] != 0xFF {
		t.Errorf("an erased byte reads %#x", got[0])
	}
}

// TestNotGathered is a KVM that refuses: each store exits, and all is as without.
func TestNotGathered(t *testing.T) {
	s, _ := newGathered(t)
	s.refuse = errors.New("no such zone")
	s.program(0x20, []byte{7, 8})
	got := []byte{0, 0}
	if s.load(0x20, got); !bytes.Equal(got, []byte{7, 8}) || s.exits != 5 {
		t.Errorf("%x after %d exits", got, s.exits)
	}
}

// FuzzGather does the same to a chip whose stores are collected and to one whose are not.
func FuzzGather(f *testing.F) {
	f.Add([]byte{0, 0x10, 0, 0x55, 0, 0xff, 0x40, 0, 0, 0x20, 0, 0xD0, 0x41, 0})
	f.Add([]byte{0, 0xE8, 0, 1, 0, 9, 1, 9, 0, 0xD0, 0x40, 0, 0, 0xff, 0x40, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		s, file := newGathered(t)
		plain, _, _ := newDevice(t)
		plain.cfg.Contents[8] = 0xFF
		for ; len(script) >= 2; script = script[2:] {
			at := uint64(script[0]&0x3F) * 131
			if script[0]&0x40 == 0 {
				s.store(at, script[1])
				plain.Write(at, script[1:2])
				continue
			}
			got, want := make([]byte, 3), make([]byte, 3)
			s.load(at, got)
			plain.Read(at, want)
			if !bytes.Equal(got, want) {
				t.Fatalf("at %#x the guest reads %x, %x is right", at, got, want)
			}
		}
		s.Deliver()
		if err := s.d.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.d.cfg.Contents, plain.cfg.Contents) || !bytes.Equal(file.durable, plain.cfg.Contents) {
			t.Error("contents differ at the end")
		}
	})
}
