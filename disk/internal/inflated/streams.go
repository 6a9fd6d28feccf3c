package inflated

import "sync/atomic"

// streams are the blocks that were inflated last, by which a reader that goes through the disk in small steps is known.
type streams struct {
	last [8]atomic.Int64
	turn atomic.Uint32
}

// follows notes a block, and says whether the one before it was among the last.
func (s *streams) follows(block int64) bool {
	for i := range s.last {
		if s.last[i].CompareAndSwap(block-1, block) {
			return true
		}
	}
	s.last[s.turn.Add(1)%uint32(len(s.last))].Store(block)
	return false
}
