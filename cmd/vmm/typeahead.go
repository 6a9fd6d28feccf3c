package main

import (
	"io"
	"slices"
	"time"
)

const (
	typeaheadChunks = 64                     // of what pump reads at a time
	typingPatience  = 500 * time.Millisecond // for the guest to take something
)

// typeahead passes what is typed on to the guest and drops what the guest does not take: keys for the monitor lie behind it in the same
// stream, and a guest must not be able to hold those up.
type typeahead struct {
	chunks  chan []byte
	stalled bool // drop without waiting until there is room
}

func newTypeahead(guest io.WriteCloser) *typeahead {
	a := &typeahead{chunks: make(chan []byte, typeaheadChunks)}
	go func() {
		defer guest.Close()
		for c := range a.chunks {
			if _, err := guest.Write(c); err != nil {
				return // Write drops the rest
			}
		}
	}()
	return a
}

// Write implements io.Writer. It waits for room, but not for long and not again before there was some.
func (a *typeahead) Write(p []byte) (int, error) {
	c := slices.Clone(p)
	select {
	case a.chunks <- c:
		a.stalled = false
		return len(p), nil
	default:
	}
	if a.stalled {
		return len(p), nil
	}
	patience := time.NewTimer(typingPatience)
	defer patience.Stop()
	select {
	case a.chunks <- c:
	case <-patience.C:
		select {
		case a.chunks <- c: // the whole process may have stood still, and not the guest alone
		default:
			a.stalled = true
		}
	}
	return len(p), nil
}

// Close implements io.Closer: the guest sees the end behind what it still takes.
func (a *typeahead) Close() error {
	close(a.chunks)
	return nil
}
