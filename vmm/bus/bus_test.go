package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sharevm/vmm/vmm/event"
)

// recorder writes down its accesses, and answers reads with the low byte of each address.
type recorder struct {
	name string
	to   *[]string
}

func (r recorder) Read(off uint64, p []byte) {
	*r.to = append(*r.to, fmt.Sprintf("%s read %#x+%d", r.name, off, len(p)))
	for i := range p {
		p[i] = byte(off) + byte(i)
	}
}

func (r recorder) Write(off uint64, p []byte) {
	*r.to = append(*r.to, fmt.Sprintf("%s write %#x %x", r.name, off, p))
}

func mustMap(t testing.TB, b *Bus, base, size uint64, dev Device) {
	t.Helper()
	if err := b.Map(base, size, dev); err != nil {
		t.Fatal(err)
	}
}

func TestMapRefusesOverlaps(t *testing.T) {
	var log []string
	b := New("test", nil)
	mustMap(t, b, 0x1000, 0x1000, recorder{"a", &log})
	mustMap(t, b, 0x4000, 0x10, recorder{"b", &log})
	mustMap(t, b, ^uint64(0)-0xf, 0x10, recorder{"top", &log})
	for _, bad := range [][2]uint64{
		{0x1000, 0x1000}, {0x0fff, 2}, {0x1fff, 1}, {0x1800, 8}, {0, 0x10000}, {0x3fff, 0x12}, {0x400f, 1},
		{0x5000, 0}, {^uint64(0), 2}, {^uint64(0), 1}, {1, ^uint64(0)},
	} {
		if b.Map(bad[0], bad[1], recorder{"bad", &log}) == nil {
			t.Errorf("mapped %#x+%#x", bad[0], bad[1])
		}
	}
	mustMap(t, b, 0x0ff0, 0x10, recorder{"below", &log})
	mustMap(t, b, 0x2000, 0x2000, recorder{"between", &log})
	mustMap(t, b, 0, 1, recorder{"zero", &log})
}

func TestUnmap(t *testing.T) {
	var log []string
	b := New("test", nil)
	mustMap(t, b, 0x1000, 0x10, recorder{"a", &log})
	if b.Unmap(0x1001) == nil || b.Unmap(0) == nil {
		t.Fatal("unmapped what is not there")
	}
	if err := b.Unmap(0x1000); err != nil {
		t.Fatal(err)
	}
	var p [4]byte
	b.Read(0x1000, p[:])
	if p != [4]byte{0xff, 0xff, 0xff, 0xff} || len(log) != 0 {
		t.Fatalf("read %x, %v", p, log)
	}
	mustMap(t, b, 0x1008, 0x10, recorder{"b", &log})
}

func TestDispatch(t *testing.T) {
	var log []string
	b := New("test", nil)
	mustMap(t, b, 0x10, 4, recorder{"a", &log})
	mustMap(t, b, 0x14, 2, recorder{"b", &log})
	mustMap(t, b, 0x18, 1, recorder{"c", &log})
	mustMap(t, b, ^uint64(0), 1, recorder{"top", &log})
	for _, test := range []struct {
		addr  uint64
		width int
		want  string // of a read
		data  uint64
		calls string // of a write of 0x0807060504030201
	}{
		{0x10, 4, "a read 0x0+4", 0x03020100, "a write 0x0 01020304"},
		{0x13, 1, "a read 0x3+1", 0x03, "a write 0x3 01"},
		{0x0f, 1, "", 0xff, ""},
		{0x0e, 4, "a read 0x0+2", 0x0100ffff, "a write 0x0 0304"},
		{0x12, 3, "a read 0x2+2; b read 0x0+1", 0x000302, "a write 0x2 0102; b write 0x0 03"},
		{0x12, 8, "a read 0x2+2; b read 0x0+2; c read 0x0+1", 0xff00ffff01000302, "a write 0x2 0102; b write 0x0 0304; c write 0x0 07"},
		{0x17, 2, "c read 0x0+1", 0x00ff, "c write 0x0 02"},
		{0x19, 8, "", 0xffffffffffffffff, ""},
		{^uint64(0) - 1, 2, "top read 0x0+1", 0x00ff, "top write 0x0 02"},
		{^uint64(0) - 1, 4, "top read 0x0+1", 0xffff00ff, "top write 0x0 02"}, // wraps around to where nothing is
	} {
		t.Run(fmt.Sprintf("%#x+%d", test.addr, test.width), func(t *testing.T) {
			var p [8]byte
			log = nil
			b.Read(test.addr, p[:test.width])
			if got := strings.Join(log, "; "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := binary.LittleEndian.Uint64(p[:]); got != test.data {
				t.Errorf("read %#x, want %#x", got, test.data)
			}
			log = nil
			b.Write(test.addr, []byte{1, 2, 3, 4, 5, 6, 7, 8}[:test.width])
			if got := strings.Join(log, "; "); got != test.calls {
				t.Errorf("%s, want %s", got, test.calls)
			}
		})
	}
}

func newEvent(t testing.TB) *event.Event {
	t.Helper()
	e, err := event.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestDoorbells(t *testing.T) {
	var log []string
	b := New("test", nil)
	mustMap(t, b, 0x100, 0x10, recorder{"dev", &log})
	seven := uint64(7)
	anyWidth, two, match := newEvent(t), newEvent(t), newEvent(t)
	bells := []Doorbell{
		{Addr: 0x100, Event: anyWidth},
		{Addr: 0x104, Width: 2, Event: two},
		{Addr: 0x104, Width: 4, Match: &seven, Event: match},
	}
	for _, d := range bells {
		if err := b.AddDoorbell(d); err != nil {
			t.Fatal(err)
		}
	}
	rings := func(addr uint64, p ...byte) string {
		log = nil
		b.Write(addr, p)
		var rang []string
		for name, e := range map[string]*event.Event{"any": anyWidth, "two": two, "match": match} {
			if e.Clear() {
				rang = append(rang, name)
			}
		}
		return strings.Join(append(rang, log...), "; ")
	}
	for _, test := range []struct {
		addr uint64
		p    []byte
		want string
	}{
		{0x100, []byte{1}, "any"},
		{0x100, []byte{1, 2, 3, 4, 5, 6, 7, 8}, "any"},
		{0x101, []byte{1}, "dev write 0x1 01"},
		{0xff, []byte{1, 2}, "dev write 0x0 02"}, // a store that only covers it
		{0x104, []byte{1, 0}, "two"},
		{0x104, []byte{1}, "dev write 0x4 01"},
		{0x104, []byte{7, 0, 0, 0}, "match"},
		{0x104, []byte{7, 0, 0, 1}, "dev write 0x4 07000001"},
	} {
		if got := rings(test.addr, test.p...); got != test.want {
			t.Errorf("%x at %#x: %s, want %s", test.p, test.addr, got, test.want)
		}
	}
	if err := b.RemoveDoorbell(bells[1]); err != nil {
		t.Fatal(err)
	}
	if b.RemoveDoorbell(bells[1]) == nil {
		t.Error("removed twice")
	}
	if got := rings(0x104, 1, 0); got != "dev write 0x4 0100" {
		t.Error(got)
	}
	if got := rings(0x104, 7, 0, 0, 0); got != "match" {
		t.Error(got)
	}
}

// refuser is a Binder that counts, and refuses on demand.
type refuser struct {
	bound  int
	refuse error
}

func (r *refuser) BindDoorbell(Doorbell) error {
	if r.refuse != nil {
		return r.refuse
	}
	r.bound++
	return nil
}

func (r *refuser) UnbindDoorbell(Doorbell) error {
	r.bound--
	return r.refuse
}

func TestBinder(t *testing.T) {
	var log []string
	r := &refuser{refuse: errors.New("no")}
	b := New("test", r)
	mustMap(t, b, 0, 8, recorder{"dev", &log})
	d := Doorbell{Addr: 0, Event: newEvent(t)}
	if err := b.AddDoorbell(d); !errors.Is(err, r.refuse) {
		t.Fatal(err)
	}
	b.Write(0, []byte{1})
	if len(log) != 1 || d.Event.Clear() {
		t.Fatal("a refused doorbell takes writes from the device")
	}
	r.refuse = nil
	if err := b.AddDoorbell(d); err != nil || r.bound != 1 {
		t.Fatal(err, r.bound)
	}
	if err := b.RemoveDoorbell(d); err != nil || r.bound != 0 {
		t.Fatal(err, r.bound)
	}
}

// strict checks that it only gets accesses inside its range.
type strict struct {
	t    *testing.T
	size uint64
}

func (s strict) Read(off uint64, p []byte) {
	s.Write(off, p)
	clear(p)
}

func (s strict) Write(off uint64, p []byte) {
	if len(p) == 0 || off+uint64(len(p)) > s.size {
		s.t.Errorf("access %#x+%d to a range of %#x", off, len(p), s.size)
	}
}

// TestChangesUnderAccesses maps and unmaps while other processors access the same addresses.
func TestChangesUnderAccesses(t *testing.T) {
	b := New("test", nil)
	bell := newEvent(t)
	stop := make(chan struct{})
	var vcpus sync.WaitGroup
	for cpu := range 2 {
		vcpus.Go(func() {
			var p [8]byte
			for addr := uint64(cpu); ; addr = (addr*5 + 3) % 0x100 {
				select {
				case <-stop:
					return
				default:
				}
				b.Read(addr, p[:1+addr%8])
				b.Write(addr, p[:1+addr%8])
			}
		})
	}
	for i := range uint64(2000) {
		base, size := i*8%0xc0, 8+i%32
		if err := b.Map(base, size, strict{t, size}); err != nil {
			t.Fatal(err)
		}
		d := Doorbell{Addr: base + 4, Event: bell}
		if err := b.AddDoorbell(d); err != nil {
			t.Fatal(err)
		}
		if err := b.RemoveDoorbell(d); err != nil {
			t.Fatal(err)
		}
		if err := b.Unmap(base); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	vcpus.Wait()
}

// FuzzBus maps ranges and accesses them; every byte must reach the one range that holds it.
func FuzzBus(f *testing.F) {
	f.Add([]byte{0, 4, 8, 8, 4, 1}, uint64(2), uint8(7))
	f.Add([]byte{250, 255, 0, 1}, ^uint64(0)-3, uint8(7))
	f.Fuzz(func(t *testing.T, ranges []byte, addr uint64, width uint8) {
		b := New("test", nil)
		owner := map[uint64]byte{}
		for i := 0; i+1 < len(ranges) && i < 64; i += 2 {
			base, size := uint64(int8(ranges[i])), uint64(ranges[i+1])
			free := size > 0 && base+size-1 >= base
			for a := base; free && a != base+size; a++ {
				_, taken := owner[a]
				free = !taken
			}
			if err := b.Map(base, size, constant(i+1)); (err == nil) != free {
				t.Fatalf("map %#x+%#x: %v, free %v", base, size, err, free)
			}
			for a := base; free && a != base+size; a++ {
				owner[a] = byte(i + 1)
			}
		}
		p := make([]byte, 1+width%8)
		if addr+uint64(len(p)) < addr {
			return // no processor wraps around
		}
		b.Read(addr, p)
		for i, got := range p {
			want, ok := owner[addr+uint64(i)]
			if !ok {
				want = 0xff
			}
			if got != want {
				t.Fatalf("byte at %#x is %#x, want %#x", addr+uint64(i), got, want)
			}
		}
	})
}

// constant answers with its number.
type constant byte

func (c constant) Read(_ uint64, p []byte) {
	for i := range p {
		p[i] = byte(c)
	}
}
func (constant) Write(uint64, []byte) {}

func BenchmarkBus(b *testing.B) {
	s := New("test", nil)
	for i := range uint64(32) {
		mustMap(b, s, i*0x1000, 0x800, constant(i))
		if err := s.AddDoorbell(Doorbell{Addr: i*0x1000 + 0x400, Event: newEvent(b)}); err != nil {
			b.Fatal(err)
		}
	}
	p := make([]byte, 4)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Read(uint64(i%32)*0x1000+4, p)
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Write(uint64(i%32)*0x1000+4, p)
		}
	})
}
