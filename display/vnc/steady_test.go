package vnc

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// standstill is a connection to a viewer that is well, in a host that has just stood still: what it waits for is late at first.
type standstill struct {
	net.Conn
	over bool
}

func (s *standstill) Write(p []byte) (int, error) {
	if !s.over {
		s.over = true
		return 0, os.ErrDeadlineExceeded
	}
	return s.Conn.Write(p)
}

// TestSteady writes to viewers that are slow, dead, or late for no fault of theirs.
func TestSteady(t *testing.T) {
	const size = 100
	for _, c := range []struct {
		name  string
		pause time.Duration // of the viewer, after each byte
		bytes int           // that it takes in all
		still bool
		fails bool
	}{
		{"well", 0, size, false, false},
		{"slow", 20 * time.Second, size, false, false},
		{"dead", 0, 7, false, true},
		{"the host stood still", 0, size, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			if c.still {
				near = &standstill{Conn: near}
			}
			read := make(chan struct{})
			go func() {
				defer close(read)
				b := make([]byte, 1)
				for range c.bytes {
					if _, err := far.Read(b); err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
					time.Sleep(c.pause)
				}
			}()
			begun := time.Now()
			n, err := Steady(near).Write(make([]byte, size))
			if n != c.bytes || errors.Is(err, os.ErrDeadlineExceeded) != c.fails {
				t.Errorf("%s: %d bytes, %v", c.name, n, err)
			}
			if took := time.Since(begun); took > time.Duration(size)*c.pause+(looks+1)*stalled {
				t.Errorf("%s: it took %v", c.name, took)
			}
			near.Close()
			<-read
		})
	}
}
