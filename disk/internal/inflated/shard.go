package inflated

import "sync"

const (
	// inMemory is how much of the blocks is kept in memory, in bytes, if that is a number of blocks from minSlots to maxSlots.
	inMemory = 8 << 20
	minSlots = 4
	maxSlots = 1 << 10
	// ways is how many slots share a lock.
	ways = 8
)

// shard is some of the blocks in memory: those whose numbers leave the same remainder.
type shard struct {
	mu      sync.Mutex
	changed sync.Cond // a slot was filled
	slots   []slot
	clock   uint64
	_       [64]byte // apart from the next one's lock
}

// slot is a block in memory.
type slot struct {
	key     uint64 // or 0 for none
	filling bool   // data belongs to one reader
	used    uint64 // by the shard's clock
	data    []byte
}

func (s *shard) init(slots int) {
	s.changed.L = &s.mu
	s.slots = make([]slot, slots)
}

// find returns the slot of a key, or nil. Called with mu held, like all that follow except filled.
func (s *shard) find(key uint64) *slot {
	for i := range s.slots {
		if s.slots[i].key == key {
			return &s.slots[i]
		}
	}
	return nil
}

func (s *shard) use(e *slot) {
	s.clock++
	e.used = s.clock
}

// take returns the slot that was used the longest ago, for the caller to fill, or nil if all are being filled.
func (s *shard) take(key uint64) *slot {
	var oldest *slot
	for i := range s.slots {
		if e := &s.slots[i]; !e.filling && (oldest == nil || e.used < oldest.used) {
			oldest = e
		}
	}
	if oldest != nil {
		oldest.key, oldest.filling = key, true
		s.use(oldest)
	}
	return oldest
}

// filled ends what take began.
func (s *shard) filled(e *slot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.filling = false
	if !ok {
		e.key, e.used = 0, 0
	}
	s.changed.Broadcast()
}
