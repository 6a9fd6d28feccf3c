package vnc

import (
	"bufio"
	"crypto/tls"
	"errors"
	"image"
	"net"
	"sync"
	"time"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/guard"
)

// client is a viewer's connection: one goroutine reads its messages, another writes updates.
type client struct {
	conn     net.Conn
	in       *bufio.Reader
	out      *bufio.Writer
	cfg      Config
	password string
	cert     *tls.Certificate // nil unless the talk is to be encrypted
	source   *input.Source
	clip     *frontend.Holder // nil without a clipboard
	buttons  uint8            // of the viewer's pointer, as of its last event
	kick     chan struct{}    // gets a value when the writer has to look

	mu     sync.Mutex // guards the following, which the reader leaves for the writer
	format pixelFormat
	caps   capabilities
	// clipCaps are the flags of the extended clipboard that the viewer knows.
	clipCaps uint32
	request  request
	owed     owed

	canvas // the writer's alone, once the handshake is over
}

// capabilities are what a viewer has said that it understands.
type capabilities struct {
	encoding     int32 // for pixels
	desktopSize  bool
	extendedSize bool
	extendedKeys bool
	ledState     bool
	cursor       bool
	alphaCursor  bool
	extendedClip bool
	jpeg         bool
}

// request is a viewer's wish for an update.
type request struct {
	pending bool
	full    image.Rectangle // to be sent even if nothing has changed
	area    image.Rectangle // the part of the screen that it is about
}

// owed is what the viewer has to be told besides pixels.
type owed struct {
	extendedKeys bool
	leds         bool
	size         bool  // its size, even if that is unchanged
	sizeReason   uint8 // why (ExtendedDesktopSize)
	sizeStatus   uint8
	cut          string // the clipboard
	hasCut       bool   // it is new
	provide      bool   // the viewer has asked for it
	ask          bool   // the viewer has a text
	clipStart    bool   // what is understood of the extended clipboard
}

// sizeOff is the size of a screen that is off, for viewers that come then.
var sizeOff = image.Pt(640, 480)

// Sizes of a connection's buffers, in bytes.
const (
	inSize  = 4 << 10
	outSize = 64 << 10
)

func newClient(conn net.Conn, cfg Config, password string, cert *tls.Certificate) *client {
	return &client{
		conn: conn, in: bufio.NewReaderSize(conn, inSize), out: bufio.NewWriterSize(conn, outSize), cfg: cfg, password: password, cert: cert,
		kick: make(chan struct{}, 1), format: ownFormat, clipCaps: clipText | clipRequest | clipNotify | clipProvide,
	}
}

// run serves the viewer until it goes. The error says why it did.
func (c *client) run() error {
	if err := c.handshake(); err != nil {
		return err
	}
	c.cfg.Log.Info("VNC viewer connected", "from", c.conn.RemoteAddr())
	c.conn.SetDeadline(time.Time{})
	c.source = c.cfg.Machine.Input.NewSource()
	defer c.source.Release()
	defer c.cfg.Machine.Input.WatchLEDs(func(input.LEDs) { c.owe(func(o *owed) { o.leds = true }) })()
	if cb := c.cfg.Machine.Clipboard; cb != nil {
		c.clip = cb.Join(func(text string) { c.owe(func(o *owed) { o.cut, o.hasCut = text, true }) })
		defer c.clip.Leave()
	}
	done := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		defer c.conn.Close() // ends the reader
		defer guard.Panic(c.cfg.Log, "VNC updates")
		written <- c.write(done)
	}()
	err := c.read()
	close(done)
	c.conn.Close() // ends the writer
	select {
	case werr := <-written:
		return errors.Join(err, werr)
	case <-time.After(time.Second): // it panicked, which has been logged
		return err
	}
}

// owe notes something to tell the viewer. change is called with mu held.
func (c *client) owe(change func(*owed)) {
	c.mu.Lock()
	change(&c.owed)
	c.mu.Unlock()
	c.wake()
}

func (c *client) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// screenSize is the size to begin with.
func (c *client) screenSize() image.Point {
	size := c.cfg.Machine.Surface.Size()
	if size.X == 0 || size.Y == 0 {
		return sizeOff
	}
	return size
}
