package x11

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Relay connects a client of another machine to a display of this one (name "" stands for $DISPLAY) until either ends, and shows the server this user's cookie in place of what the client
// has: so that the client's machine needs none. Clients of the other byte order are refused.
func Relay(client net.Conn, name string) error {
	defer client.Close()
	server, err := dialDisplay(name)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := errors.Join(client.SetReadDeadline(time.Now().Add(patience)), skipHello(client), client.SetReadDeadline(time.Time{})); err != nil {
		return fmt.Errorf("the client's first message: %w", err)
	}
	ended := make(chan error, 2)
	carry := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		ended <- err
	}
	go carry(server, client)
	go carry(client, server)
	return <-ended
}

// Try says why a display cannot be used: nobody answers there, or this user's cookie does not fit. name "" stands for $DISPLAY.
func Try(name string) error {
	conn, err := dialDisplay(name)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var answer [8]byte // X11, section 8: how it went, the length of the reason, the version, the length of the rest
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("display %s: %w", displayName(name), err)
	}
	const success = 1
	if answer[0] == success {
		return nil
	}
	reason := make([]byte, answer[1])
	if _, err := io.ReadFull(conn, reason); err != nil {
		return fmt.Errorf("display %s: %w", displayName(name), err)
	}
	return fmt.Errorf("display %s: the X server lets this user not in: %q", displayName(name), reason)
}

// dialDisplay connects to a display and says who this user is.
func dialDisplay(name string) (net.Conn, error) {
	a, err := parseDisplay(displayName(name))
	if err != nil {
		return nil, err
	}
	conn, err := a.dial()
	if err != nil {
		return nil, fmt.Errorf("display %s: %w", displayName(name), err)
	}
	if _, err := conn.Write(a.hello()); err != nil {
		return nil, errors.Join(fmt.Errorf("display %s: %w", displayName(name), err), conn.Close())
	}
	return conn, nil
}

var errOrder = errors.New("it is none of a little-endian X client")

// skipHello reads a client's first message.
func skipHello(r io.Reader) error {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	if head[0] != 'l' {
		return errOrder
	}
	name, data := int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:]))
	_, err := io.CopyN(io.Discard, r, int64(name+pad(name)+data+pad(data)))
	return err
}
