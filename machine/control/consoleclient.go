package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

// Attached is a client's place at a machine's console: Read is what the guest prints, and ends with the machine; Write types.
type Attached struct {
	io.Reader
	conn net.Conn
}

// Write types.
func (a *Attached) Write(p []byte) (int, error) { return a.conn.Write(p) }

// Close leaves the console.
func (a *Attached) Close() error { return a.conn.Close() }

// AttachConsole joins the machine's console. past asks for what the guest printed last, too. ctx bounds the joining.
func (c Client) AttachConsole(ctx context.Context, past bool) (_ *Attached, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("machine %s: %w", c.ID, err)
		}
	}()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r := request{method: "GET", path: "/v1/console", upgrade: consoleProtocol}
	if !past {
		r.query = url.Values{"history": {"no"}}
	}
	if err := writeRequest(conn, r); err != nil {
		return nil, err
	}
	code, header, rest, err := readAnswerHead(conn)
	if err != nil {
		return nil, err
	}
	if code != statusSwitching {
		code, body, err := readAnswerBody(code, header, rest)
		if err != nil {
			return nil, err
		}
		return nil, refusal(code, body)
	}
	return &Attached{rest, conn}, nil
}

// ResizeConsole tells the guest the size of the terminal that shows its console.
func (c Client) ResizeConsole(ctx context.Context, size ConsoleSize) error {
	return c.call(ctx, "PUT", "/v1/console", size, &nothing{})
}
