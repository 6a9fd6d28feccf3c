package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Door is a socket by which other processes of the user ask a session for another window of a machine. A connection carries one request and its answer, JSON objects.
type Door struct {
	l     net.Listener
	ended chan struct{}
}

type request struct {
	Open string `json:"open"` // the name of a machine
}

type answer struct {
	Opened string `json:"opened,omitempty"` // the window's name
	Error  string `json:"error,omitempty"`
	// None says that the session has no machine of that name: another session may.
	None bool `json:"none,omitempty"`
}

const (
	doorPatience = 10 * time.Second // for a whole exchange
	maxRequest   = 4096             // bytes
)

// OpenDoor listens at path, in a folder of this user's alone. open opens another window of the machine of that name, and returns the window's name.
func OpenDoor(path string, open func(name string) (string, error)) (*Door, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("the session's socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("the session's socket: %w", err)
	}
	d := &Door{l, make(chan struct{})}
	go d.keep(open)
	return d, nil
}

// breather is how long the door rests when the host cannot open one more connection.
const breather = 100 * time.Millisecond

// keep answers who comes, until the door is closed.
func (d *Door) keep(open func(string) (string, error)) {
	defer close(d.ended)
	for {
		c, err := d.l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, or a client that is gone already
			time.Sleep(breather)
		default:
			serve(c, open) // one after the other: nobody has reason to hurry
		}
	}
}

// Close closes the door, and removes the socket.
func (d *Door) Close() error {
	err := d.l.Close()
	<-d.ended
	return err
}

func serve(c net.Conn, open func(string) (string, error)) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(doorPatience)) // a socket can
	var r request
	var a answer
	if err := json.NewDecoder(io.LimitReader(c, maxRequest)).Decode(&r); err != nil {
		a.Error = "this is no request: " + err.Error()
	} else if a.Opened, err = open(r.Open); err != nil {
		a = answer{Error: err.Error(), None: errors.Is(err, ErrNoMachine)}
	}
	_ = json.NewEncoder(c).Encode(a) // who asked may have gone
}

// Ask asks the session at path for another window of a machine, and returns the window's name. The error wraps ErrNoMachine where the session has no such machine.
func Ask(path, name string) (string, error) {
	c, err := net.DialTimeout("unix", path, doorPatience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(doorPatience)); err != nil {
		return "", err
	}
	if err := json.NewEncoder(c).Encode(request{Open: name}); err != nil {
		return "", fmt.Errorf("ask the session: %w", err)
	}
	var a answer
	if err := json.NewDecoder(io.LimitReader(c, maxRequest)).Decode(&a); err != nil {
		return "", fmt.Errorf("the session's answer: %w", err)
	}
	switch {
	case a.None:
		return "", fmt.Errorf("%q: %w", name, ErrNoMachine)
	case a.Error != "":
		return "", errors.New(a.Error)
	}
	return a.Opened, nil
}
