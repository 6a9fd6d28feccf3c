package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display/frontend"
)

// kind is what a message is.
type kind uint8

// The messages, and what they hold.
const (
	// From the machine.
	kindShow   kind = iota + 1 // geometry: width, height, stride, offset, format, 4 bytes each; the memory comes along
	kindOff                    // nothing
	kindDamage                 // rectangles: left, top, right, bottom, 4 bytes each
	kindCursor                 // width, height, hot spot; then pixels
	kindPlace                  // of the cursor: x, y, visible
	kindLEDs                   // a byte
	kindState                  // a byte, then a text
	kindCopied                 // a text that the guest has put on its clipboard
	// From the session.
	kindWatch   // a byte: whether anybody looks
	kindWish    // width, height
	kindEvents  // type (2 bytes), code (2), value (4) each
	kindRelease // nothing: keys and buttons are up
	kindFocus   // a byte
	kindPower   // a byte
	kindPaste   // a text for the guest's clipboard
)

const (
	headSize = 5
	maxBody  = frontend.MaxClipboard // bytes
	maxFDs   = 4                     // that may wait to be asked for
)

// ErrProtocol is wrapped where the other side sends nonsense.
var ErrProtocol = errors.New("the other side of a session's link does not keep to the protocol")

// conn sends and receives messages. One goroutine may receive; any may send.
type conn struct {
	u *net.UnixConn

	sending sync.Mutex
	out     []byte // guarded by sending

	in  []byte // received and not yet taken
	buf []byte // behind in
	oob []byte
	fds []int
}

func newConn(u *net.UnixConn) *conn {
	return &conn{u: u, buf: make([]byte, headSize+maxBody), oob: make([]byte, unix.CmsgSpace(4*maxFDs))}
}

// send sends a message, with an open file unless fd is negative.
func (c *conn) send(k kind, fd int, body ...[]byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	n := 0
	for _, b := range body {
		n += len(b)
	}
	c.out = binary.LittleEndian.AppendUint32(append(c.out[:0], byte(k)), uint32(n))
	for _, b := range body {
		c.out = append(c.out, b...)
	}
	if fd < 0 {
		_, err := c.u.Write(c.out)
		return err
	}
	sent, _, err := c.u.WriteMsgUnix(c.out, unix.UnixRights(fd), nil)
	if err == nil && sent < len(c.out) {
		_, err = c.u.Write(c.out[sent:])
	}
	return err
}

// receive returns the next message; body is valid until the next call.
func (c *conn) receive() (k kind, body []byte, err error) {
	for {
		if len(c.in) >= headSize {
			n := binary.LittleEndian.Uint32(c.in[1:])
			if n > maxBody {
				return 0, nil, fmt.Errorf("%w: a message of %d bytes", ErrProtocol, n)
			}
			if total := headSize + int(n); len(c.in) >= total {
				k, body = kind(c.in[0]), c.in[headSize:total]
				c.in = c.in[total:]
				return k, body, nil
			}
		}
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// fill reads more.
func (c *conn) fill() error {
	have := copy(c.buf, c.in)
	n, oobn, flags, _, err := c.u.ReadMsgUnix(c.buf[have:], c.oob)
	if e := c.take(c.oob[:max(oobn, 0)]); err == nil {
		err = e
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = fmt.Errorf("%w: too many files at once", ErrProtocol)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	c.in = c.buf[:have+max(n, 0)] // negative after an error
	return err
}

func (c *conn) take(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return err
		}
		c.fds = append(c.fds, fds...)
	}
	if len(c.fds) > maxFDs {
		return fmt.Errorf("%w: more files than messages for them", ErrProtocol)
	}
	return nil
}

// file takes the file that came with a message.
func (c *conn) file() (int, error) {
	if len(c.fds) == 0 {
		return -1, fmt.Errorf("%w: no file came along", ErrProtocol)
	}
	fd := c.fds[0]
	c.fds = c.fds[1:]
	return fd, nil
}

// close ends the link; the receiver's goroutine calls free after that.
func (c *conn) close() { _ = c.u.Close() }

// free closes files that came along and were not taken.
func (c *conn) free() {
	for _, fd := range c.fds {
		_ = unix.Close(fd)
	}
	c.fds = nil
}

// words puts numbers together.
func words(values ...int) []byte {
	p := make([]byte, 0, 4*len(values))
	for _, v := range values {
		p = binary.LittleEndian.AppendUint32(p, uint32(int32(v)))
	}
	return p
}

// numbers takes n numbers from the beginning of p.
func numbers(p []byte, n int) ([]int, error) {
	if len(p) < 4*n {
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrProtocol, len(p))
	}
	list := make([]int, n)
	for i := range list {
		list[i] = int(int32(binary.LittleEndian.Uint32(p[4*i:])))
	}
	return list, nil
}

// flag takes a byte that says yes or no.
func flag(p []byte) (bool, error) {
	if len(p) != 1 || p[0] > 1 {
		return false, fmt.Errorf("%w: not a flag", ErrProtocol)
	}
	return p[0] == 1, nil
}

func flagOf(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
