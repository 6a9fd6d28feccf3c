package machine

import (
	"errors"
	"fmt"
	"time"
)

// ErrStuck is wrapped by Run's error when the machine could not be taken down. The process should end: a disk may still be writing from guest
// memory, so that neither can be given back.
var ErrStuck = errors.New("a disk, or something else that the machine uses of this host, does not answer")

const (
	// answerLimit is how long a board may take to finish what it has begun. A share whose server has gone away may never answer.
	answerLimit = 30 * time.Second
	// warnAfter is when the user is told what everybody waits for.
	warnAfter = 3 * time.Second
)

// takeDown stops the board and frees it, or gives up after limit.
func (m *Machine) takeDown(b *board, limit time.Duration) error {
	done := make(chan error, 1)
	go func() {
		m.turn.Lock() // a Pause may be under way
		defer m.turn.Unlock()
		done <- b.close()
	}()
	warning := time.AfterFunc(min(warnAfter, limit/2), func() {
		m.log.Warn("waiting for what the machine's disks have begun", "limit", limit)
	})
	defer warning.Stop()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		m.mu.Lock()
		m.stuck = true
		m.mu.Unlock()
		return fmt.Errorf("%w: not within %v; what it has not written yet is lost", ErrStuck, limit)
	}
}
