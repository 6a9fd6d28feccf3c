package machine

import (
	"time"

	"github.com/sharevm/vmm/virtio/balloon"
)

// Balloon is what the guest says about the memory that it has given up, and about the rest. It need not be true.
type Balloon struct {
	Target uint64        `json:"target"` // bytes that it is asked to give up
	Actual uint64        `json:"actual"` // bytes that it has given up
	Stats  balloon.Stats `json:"stats"`
	At     time.Time     `json:"at"` // of Stats; zero when there are none yet
}

// Reclaim asks the guest to give up that many bytes of its memory, rounded down to pages, and no more than that; 0 gives all of them back. A
// guest without a driver does nothing. The wish outlives a power cycle.
func (m *Machine) Reclaim(bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reclaimed = bytes
	if m.board != nil {
		m.board.inflate(bytes)
	}
}

// Balloon returns what is known of the guest's memory, and asks the guest for news. It says false where the machine has no balloon, or is off.
func (m *Machine) Balloon() (state Balloon, ok bool) {
	m.withBoard(func(b *board) {
		if b.balloon == nil {
			return
		}
		state.Target, state.Actual, ok = b.balloon.Target(), b.balloon.Actual(), true
		state.Stats, state.At = b.balloon.Stats()
		b.balloon.RequestStats()
	})
	return state, ok
}

func (b *board) inflate(bytes uint64) {
	if b.balloon != nil {
		b.balloon.SetTarget(bytes)
	}
}
