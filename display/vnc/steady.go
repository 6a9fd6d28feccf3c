package vnc

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	// stalled is how long a write may wait, looks times in a row, for a viewer that takes nothing before that counts as gone. It is looked at several times, each after a while of its
	// own: where this whole host stood still, as a machine inside of another may, only one of them is over when it goes on, and the viewer is as well as it was.
	stalled = 3 * time.Second
	looks   = 10
)

// steady is a connection to a viewer that may be slow. Deadlines for writing do not count.
type steady struct{ net.Conn }

// Steady has writes to a viewer go on for as long as it takes something of them now and then, and end otherwise. It is for the connection itself, below what encrypts or packs.
func Steady(c net.Conn) net.Conn { return steady{c} }

// Write implements io.Writer.
func (s steady) Write(p []byte) (n int, err error) {
	for left := looks; ; {
		if err := s.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
			return n, err
		}
		some, err := s.Conn.Write(p[n:])
		n += some
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if left--; some > 0 {
			left = looks
		}
		if left == 0 {
			return n, err
		}
	}
}
