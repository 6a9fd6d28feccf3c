package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// hear (HOST:PORT) connects to somebody who says nothing, and listens until the connection is reset, which is what a machine's connections get when it goes on from a snapshot.
func hear(args string) error {
	if err := online(); err != nil {
		return err
	}
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1} // to ask whether the other side lives would answer the question
	c, err := d.Dial("tcp", args)
	if err != nil {
		return err
	}
	defer c.Close()
	say("hear: connected")
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("%d bytes were heard, %v", n, err)
	}
	return nil
}
