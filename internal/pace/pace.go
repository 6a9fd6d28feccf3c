// Package pace follows how fast a disk answers, so that a device knows whether the worker that took a request may as well carry it out.
package pace

import (
	"sync/atomic"
	"time"
)

const (
	// quickLimit is how long a read or write may take to count as quick: about what waking an executor costs many times over,
	// and short enough for the next request to wait for.
	quickLimit = 200 * time.Microsecond
	// patience is how long one must take to end all trust. What lies between may be the host's scheduler rather than the image.
	patience = 5 * time.Millisecond
	// trusted is how much trust it takes to expect the next one to be quick. A quick one earns 1, up to most; a slow one costs slowCost.
	trusted  = 32
	most     = 64
	slowCost = 16
)

// Pace is what the last reads and writes of one image have told. It starts out pessimistic, and may be used by any number of goroutines.
type Pace struct{ trust atomic.Int32 }

// Quick says whether the next read or write is likely to be over in less than 200 µs.
func (p *Pace) Quick() bool { return p.trust.Load() >= trusted }

// Observe takes note of a read or write that took so long. Of two at the same time one may get lost.
func (p *Pace) Observe(took time.Duration) {
	trust := p.trust.Load()
	switch {
	case took > patience:
		trust = 0
	case took > quickLimit:
		trust = max(trust-slowCost, 0)
	case trust == most:
		return
	default:
		trust++
	}
	p.trust.Store(trust)
}
