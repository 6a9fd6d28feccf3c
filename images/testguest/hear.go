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
	c, err := net.DialTimeout("tcp", args, 10*time.Second)
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
