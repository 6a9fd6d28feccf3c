package blk

import (
	"sync/atomic"
	"time"
)

const (
	// quickLimit is how long a read or write may take to count as quick: about what waking an executor costs many times over,
	// and short enough for the next request to wait for.
	quickLimit = 200 * time.Microsecond
	// quickStreak is how many quick ones in a row make the next one likely to be quick too.
	quickStreak = 32
)

// pace follows how fast the image answers. It starts out pessimistic.
type pace struct{ streak atomic.Int32 }

// quick says whether the next read or write is likely to be over in less than quickLimit.
func (p *pace) quick() bool { return p.streak.Load() >= quickStreak }

// observe takes note of a read or write that took so long.
func (p *pace) observe(took time.Duration) {
	if took > quickLimit {
		p.streak.Store(0)
	} else if p.streak.Load() < quickStreak {
		p.streak.Add(1)
	}
}
