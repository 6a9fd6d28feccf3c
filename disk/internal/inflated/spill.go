package inflated

import (
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

const (
	// maxSpilled bounds the temporary file, in bytes. It is sparse, and has the size of the disk if that is smaller.
	maxSpilled = 32 << 30
	// maxPlaces bounds the list of what is in it: 8 MiB.
	maxPlaces = 512 << 10
)

// spill is the tier in a temporary file. Block n has the place n modulo the number of places, so that on a disk larger than the file
// another block can take it.
type spill struct {
	size   int64 // of a block in bytes
	places int64
	// wanted counts what was to be stored until there were enough of it.
	wanted, enough int64
	room           atomic.Pointer[room]
	temp           func() (disk.File, error)

	mu   sync.Mutex // of what follows, and wanted
	over bool       // there is no room any more, or never was any
}

// room is the temporary file and what is in it.
type room struct {
	file   disk.File
	places []place
}

// place says what a place in the file holds. A reader that finds turn even, and the same after reading, has read what belongs to the key it found.
type place struct {
	turn atomic.Uint32 // odd while the place is written to
	key  atomic.Uint64
}

func (s *spill) init(size, blocks, enough int64) {
	s.size, s.places, s.enough = size, min(blocks, maxSpilled/size, maxPlaces), enough
	s.temp = func() (disk.File, error) { return disk.TempFile("") }
}

// has says whether a block with a key is there.
func (s *spill) has(block int64, key uint64) bool {
	r := s.room.Load()
	return r != nil && r.places[block%s.places].key.Load() == key
}

// read fills p from byte in of a block, or says that it could not.
func (s *spill) read(p []byte, block int64, key uint64, in int64) bool {
	r := s.room.Load()
	if r == nil {
		return false
	}
	n := block % s.places
	at := &r.places[n]
	turn := at.turn.Load()
	if turn%2 != 0 || at.key.Load() != key {
		return false
	}
	// An error, such as that of a file closed by drop, means only that the block has to be inflated.
	m, _ := r.file.ReadAt(p, n*s.size+in)
	return m == len(p) && at.turn.Load() == turn
}

// store keeps a block, if enough were to be kept before, and there is room, and nobody else stores something in its place.
func (s *spill) store(data []byte, block int64, key uint64) {
	r := s.room.Load()
	if r == nil {
		if r = s.make(); r == nil {
			return
		}
	}
	n := block % s.places
	at := &r.places[n]
	turn := at.turn.Load()
	if turn%2 != 0 || !at.turn.CompareAndSwap(turn, turn+1) {
		return
	}
	defer at.turn.Store(turn + 2)
	at.key.Store(0)
	if _, err := r.file.WriteAt(data, n*s.size); err != nil {
		s.drop() // the host needs the space for something else
		return
	}
	at.key.Store(key)
}

// make returns the room, once it is worth to have it, or nil.
func (s *spill) make() *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.room.Load(); r != nil || s.over {
		return r
	}
	if s.wanted++; s.wanted <= s.enough {
		return nil
	}
	file, err := s.temp()
	if err != nil {
		s.over = true // all works without it
		return nil
	}
	r := &room{file, make([]place, s.places)}
	s.room.Store(r)
	return r
}

// drop gives the file back, and lets there be no other.
func (s *spill) drop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if r := s.room.Swap(nil); r != nil {
		return r.file.Close()
	}
	return nil
}
