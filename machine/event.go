package machine

import "sync"

// outcome is how a power cycle ended.
type outcome int

const (
	poweredOff outcome = iota
	rebooted
	suspended // to RAM, which the next cycle goes on from
	failed
)

// verdict is the first thing that ended a power cycle; later ones do not count.
type verdict struct {
	once sync.Once
	done chan struct{}
	what outcome
	err  error
}

func newVerdict() *verdict { return &verdict{done: make(chan struct{})} }

// decide ends the power cycle. Any goroutine may call it, vCPUs included, and it does not block.
func (v *verdict) decide(what outcome, err error) {
	v.once.Do(func() {
		v.what, v.err = what, err
		close(v.done)
	})
}
