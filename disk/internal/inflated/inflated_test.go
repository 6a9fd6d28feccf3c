package inflated

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

const (
	testShift = 16
	testBlock = 1 << testShift
)

// source is a disk whose blocks repeat their keys.
type source struct {
	*Cache
	keys     []atomic.Uint64
	inflated atomic.Int64 // blocks
	hold     chan struct{}
	fail     atomic.Bool
}

func newSource(shift uint, blocks int) *source {
	s := &source{keys: make([]atomic.Uint64, blocks)}
	for n := range s.keys {
		s.keys[n].Store(uint64(n)<<32 | 1)
	}
	s.Cache = New(s, shift, int64(blocks))
	return s
}

func (s *source) UnpackBlock(p []byte, off int64) error {
	n := off >> s.shift
	return s.Read(p, n, s.keys[n].Load(), off-n<<s.shift)
}

var errBroken = errors.New("broken")

func (s *source) Inflate(p []byte, block int64, key uint64) error {
	s.inflated.Add(1)
	if s.hold != nil {
		<-s.hold
	}
	if s.fail.Load() {
		return errBroken
	}
	if uint64(block) != key>>32 {
		return fmt.Errorf("block %d with key %#x", block, key)
	}
	for k := 0; k < len(p); k += 8 {
		binary.LittleEndian.PutUint64(p[k:], key+uint64(k)<<16)
	}
	return nil
}

// read reads and compares with what the keys say, which may grow meanwhile if all is of one block.
func (s *source) read(p []byte, off int64) error {
	before := s.keys[off>>s.shift].Load()
	if err := s.Unpack(p, off); err != nil {
		return err
	}
	for k := int64(0); k < int64(len(p)); k += 8 {
		n := (off + k) >> s.shift
		now := s.keys[n].Load()
		got := binary.LittleEndian.Uint64(p[k:]) - uint64(off+k-n<<s.shift)<<16
		if got != now && (n != off>>s.shift || got < before || got > now) {
			return fmt.Errorf("byte %d of %d at %d: of key %#x, want %#x to %#x", k, len(p), off, got, before, now)
		}
	}
	return nil
}

// TestSpill has random reads of parts inflate each block at most once more than the memory holds, by way of a file that sequential
// reads and those of whole blocks do not make.
func TestSpill(t *testing.T) {
	const blocks = 400
	s := newSource(testShift, blocks)
	defer s.Close()
	p := make([]byte, 4096)
	for off := int64(0); off < blocks<<testShift; off += 4096 {
		if err := s.read(p, off); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.inflated.Swap(0); n != blocks {
		t.Errorf("a pass in small steps inflated %d of %d blocks", n, blocks)
	}
	if err := s.read(make([]byte, blocks<<testShift), 0); err != nil {
		t.Fatal(err)
	}
	s.inflated.Store(0)
	if s.spill.room.Load() != nil {
		t.Fatal("there is a temporary file already")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 * blocks {
		if err := s.read(p, rng.Int64N(blocks<<testShift/8-512)*8); err != nil {
			t.Fatal(err)
		}
	}
	if s.spill.room.Load() == nil {
		t.Fatal("there is no temporary file")
	}
	// Those of before there was a file, and by chance those that follow one another, are inflated again.
	if n := s.inflated.Load(); n > 2*blocks {
		t.Errorf("%d random reads of %d blocks inflated %d", 20*blocks, blocks, n)
	}
}

// TestPlaces has blocks take each other's places in the file.
func TestPlaces(t *testing.T) {
	const blocks = 400
	s := newSource(testShift, blocks)
	defer s.Close()
	s.spill.places, s.spill.enough = 300, 0
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 512)
	for range 10 * blocks {
		if err := s.read(p, rng.Int64N(blocks<<testShift/512)*512); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConcurrent reads from several goroutines, while blocks change and take each other's places, with too little room for all.
func TestConcurrent(t *testing.T) {
	const blocks = 60
	s := newSource(12, blocks)
	defer s.Close()
	s.spill.places, s.spill.enough = 40, 5
	for i := range s.shards { // too few, so that there is something to wait for
		s.shards[i].init(1)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			p := make([]byte, 1<<12)
			for range 5000 {
				n, in, length := rng.Int64N(blocks), int64(0), int64(1<<12)
				if rng.IntN(10) > 0 {
					in = rng.Int64N(1<<9) * 8
					length = min(8+rng.Int64N(50)*8, 1<<12-in)
				}
				if err := s.read(p[:length], n<<12+in); err != nil {
					t.Error(err)
					return
				}
				if rng.IntN(20) == 0 {
					s.keys[n].Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// TestRewrite never returns the old content of a block that has another key.
func TestRewrite(t *testing.T) {
	const blocks = 50
	s := newSource(testShift, blocks)
	defer s.Close()
	s.spill.enough = 0
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 8)
	for range 1000 {
		n := rng.IntN(blocks)
		if rng.IntN(3) == 0 {
			s.keys[n].Add(1)
		}
		off := int64(n)<<testShift + rng.Int64N(testBlock/8)*8
		if err := s.UnpackBlock(p, off); err != nil {
			t.Fatal(err)
		}
		if got, want := binary.LittleEndian.Uint64(p), s.keys[n].Load()+uint64(off%testBlock)<<16; got != want {
			t.Fatalf("block %d: %#x, want %#x", n, got, want)
		}
	}
}

// TestOnce has several readers of one block wait for the one that inflates it.
func TestOnce(t *testing.T) {
	s := newSource(testShift, 10)
	defer s.Close()
	s.hold = make(chan struct{})
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			if err := s.read(make([]byte, 512), int64(k)*512); err != nil {
				t.Error(err)
			}
		})
	}
	s.hold <- struct{}{}
	close(s.hold) // so that a second inflation is counted and does not hang
	wg.Wait()
	if n := s.inflated.Load(); n != 1 {
		t.Errorf("inflated %d times", n)
	}
}

// TestErrors keeps nothing of a block that could not be inflated.
func TestErrors(t *testing.T) {
	s := newSource(testShift, 10)
	defer s.Close()
	s.fail.Store(true)
	for _, n := range []int{512, testBlock, 3 * testBlock} {
		if err := s.read(make([]byte, n), 0); err != errBroken {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	s.fail.Store(false)
	if err := s.read(make([]byte, 512), 0); err != nil {
		t.Error(err)
	}
}

// badFile fails to be written to from the third time on.
type badFile struct {
	disk.File
	writes int
	closed bool
}

func (f *badFile) WriteAt(p []byte, off int64) (int, error) {
	if f.writes++; f.writes > 2 {
		return 0, &fs.PathError{Op: "write", Path: "temp", Err: unix.ENOSPC}
	}
	return f.File.WriteAt(p, off)
}

func (f *badFile) Close() error {
	f.closed = true
	return f.File.Close()
}

// TestNoSpace works on without a temporary file, and gives back one that fills the host's disk.
func TestNoSpace(t *testing.T) {
	for name, c := range map[string]struct {
		temp  func() (disk.File, error)
		after func(*source)
	}{
		"none": {temp: func() (disk.File, error) { return nil, fs.ErrPermission }},
		"full": {temp: func() (disk.File, error) {
			f, err := disk.TempFile(t.TempDir())
			return &badFile{File: f}, err
		}},
		"closed": {after: func(s *source) {
			if err := s.spill.room.Load().file.Close(); err != nil { // as if reads were under way during drop
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(testShift, 300)
			defer s.Close()
			s.spill.enough = 0
			if c.temp != nil {
				s.spill.temp = c.temp
			}
			p := make([]byte, 512)
			rng := rand.New(rand.NewPCG(1, 2))
			for k := range 2000 {
				if k == 1000 && c.after != nil {
					c.after(s)
				}
				if err := s.read(p, rng.Int64N(300)*testBlock); err != nil {
					t.Fatal(err)
				}
			}
			if s.spill.room.Load() != nil {
				t.Error("it is still used")
			}
		})
	}
}

// TestMemory bounds what is in memory, for blocks of all sizes.
func TestMemory(t *testing.T) {
	for shift := uint(9); shift <= 21; shift++ {
		s := newSource(shift, 1)
		slots := 0
		for i := range s.shards {
			slots += len(s.shards[i].slots)
		}
		if bytes := slots << shift; slots < minSlots || bytes > max(inMemory, minSlots<<shift) {
			t.Errorf("blocks of %d bytes: %d slots, %d bytes", 1<<shift, slots, bytes)
		}
		big := New(s, shift, 1<<40)
		if bytes := big.spill.places << shift; big.spill.places > maxPlaces || bytes > maxSpilled {
			t.Errorf("blocks of %d bytes: %d places, %d bytes", 1<<shift, big.spill.places, bytes)
		}
	}
}

// BenchmarkRead measures hits, in memory and in the file.
func BenchmarkRead(b *testing.B) {
	for name, blocks := range map[string]int{"memory": 64, "file": 4096} {
		b.Run(name, func(b *testing.B) {
			s := newSource(testShift, blocks)
			defer s.Close()
			rng := rand.New(rand.NewPCG(1, 2))
			p := make([]byte, 4096)
			for range 10 * blocks {
				if err := s.Unpack(p, rng.Int64N(int64(blocks)<<4)*4096); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
				p := make([]byte, 4096)
				for pb.Next() {
					if err := s.Unpack(p, rng.Int64N(int64(blocks)<<4)*4096); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
