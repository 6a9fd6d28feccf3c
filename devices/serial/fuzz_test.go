package serial

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
)

// typist is a reader that gives what it is told to, and then waits.
type typist struct {
	mu     sync.Mutex
	cond   *sync.Cond
	typed  []byte
	closed bool
}

func newTypist() *typist {
	y := &typist{}
	y.cond = sync.NewCond(&y.mu)
	return y
}

func (y *typist) Read(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for len(y.typed) == 0 {
		if y.closed {
			return 0, io.EOF
		}
		y.cond.Wait()
	}
	n := copy(p, y.typed)
	y.typed = y.typed[n:]
	return n, nil
}

func (y *typist) update(f func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	f()
	y.cond.Broadcast()
}

// moody is a writer that takes everything, refuses, or panics.
type moody struct {
	mood  atomic.Int32
	taken atomic.Int64
}

func (m *moody) Write(p []byte) (int, error) {
	switch m.mood.Load() {
	case 1:
		return 0, errors.New("not now")
	case 2:
		panic("broken writer")
	}
	m.taken.Add(int64(len(p)))
	return len(p), nil
}

// FuzzHost runs accesses of the guest while the host types, takes or refuses output, pauses, and takes snapshots that it restores in
// place. The receiver never overflows, nothing is written that was not sent, and Close ends.
func FuzzHost(f *testing.F) {
	f.Add([]byte{0x13, 3, 0x14, 0xB, 0x12, 0xC7, 0x11, 0xF, 0x80, 40, 0x10, 'x', 0x82, 1, 0x10, 'y', 0x83, 0, 0x83, 1, 0x00, 0, 0x05, 0})
	f.Add([]byte{0x84, 255, 0x80, 255, 0x81, 0, 0x12, 1, 0x00, 0, 0x82, 2, 0x10, 'z', 0x84, 99, 0x05, 0, 0x81, 7})
	f.Fuzz(func(t *testing.T, ops []byte) {
		y, m := newTypist(), &moody{}
		u := New(Config{Line: irq.LineFunc(func(bool) {}), Input: y, Output: m})
		sent, restored := int64(0), false
		for ops = ops[:min(len(ops), 512)]; len(ops) >= 2; ops = ops[2:] {
			op, v := ops[0], ops[1]
			switch {
			case op == 0x80:
				y.update(func() { y.typed = append(y.typed, make([]byte, int(v))...) })
			case op == 0x81:
				var w state.Writer
				u.Pause()
				u.Save(&w)
				if err := u.Restore(state.NewReader(w.Data())); err != nil {
					t.Fatal(err)
				}
				u.Resume()
				restored = true
			case op == 0x82:
				m.mood.Store(int32(v % 3))
			case op == 0x83 && v&1 == 0:
				u.Pause()
			case op == 0x83:
				u.Resume()
			case op == 0x84:
				for range int(v) {
					u.Write(regData, []byte{v})
					sent++
				}
			case op&0x10 != 0:
				u.Write(uint64(op&7), []byte{v})
				sent++
			default:
				u.Read(uint64(op&7), make([]byte, 1))
			}
			u.mu.Lock()
			n, most := u.rxLen, u.capacity()
			u.mu.Unlock()
			if n > most {
				t.Fatalf("%d bytes in a receiver of %d", n, most)
			}
		}
		y.update(func() { y.closed = true })
		u.Close()
		<-u.out.ended
		// What is under way in a snapshot is sent again by the restored device.
		if taken := m.taken.Load(); taken > sent && !restored {
			t.Fatalf("%d bytes came out of %d", taken, sent)
		}
	})
}
