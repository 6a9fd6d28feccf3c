package network

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func TestUnplugged(t *testing.T) {
	u := Unplugged()
	read := func() chan error {
		c := make(chan error, 1)
		go func() {
			_, err := u.ReadFrame(nil)
			c <- err
		}()
		return c
	}
	c := read()
	_ = u.SetReadDeadline(time.Now())
	if err := <-c; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	_ = u.SetReadDeadline(time.Time{})
	c = read()
	_ = u.Close()
	if err := <-c; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}
