package nbd

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// inBuffer is the size of a connection's buffer for requests; it holds the largest write that is served at once.
const inBuffer = 128 << 10

// conn is a client's connection.
type conn struct {
	server     *Server
	export     *Export
	nc         net.Conn
	in         *bufio.Reader
	structured bool
	contexts   contextSet
	began      bool // past the handshake; of server.mu

	stopping atomic.Bool
	troubles atomic.Int32
	out      sender
	direct   direct
	pool     pool
	work     chan *slot
	workers  sync.WaitGroup
	running  int // workers that were started
}

// request is a request's header.
type request struct {
	flags, kind uint16
	cookie      uint64
	off         uint64 // bytes
	length      uint32 // bytes
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, export: &s.export, nc: nc, in: bufio.NewReaderSize(nc, inBuffer)}
	c.out.w = nc
	c.pool.init(&s.slots, s.o.Depth)
	c.work = make(chan *slot, s.o.Depth)
	return c
}

// name is the client's address, for messages.
func (c *conn) name() string {
	if a := c.nc.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return c.nc.LocalAddr().String()
}

// stop has the connection end as soon as what it is doing is done. Called with server.mu held.
func (c *conn) stop() {
	c.stopping.Store(true)
	if !c.began {
		c.nc.Close()
		return
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; a connection that cannot do that is broken
}

func (c *conn) run() error {
	defer c.nc.Close()
	if err := c.nc.SetDeadline(time.Now().Add(c.server.o.Handshake)); err != nil {
		return err
	}
	n := &negotiation{export: c.export, in: c.in, out: c.nc}
	if err := n.run(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if !c.server.begin(c) {
		return errEnd
	}
	c.structured, c.contexts = n.structured, n.contexts
	if u, ok := c.nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = u.SetWriteBuffer(2 * pieceSize) // larger is faster; the host has the last word
	}
	err := c.requests()
	c.out.flush()
	close(c.work)
	c.workers.Wait()
	c.pool.end()
	if c.stopping.Load() {
		return errEnd
	}
	return err
}

// requests serves requests until the client goes.
func (c *conn) requests() error {
	for !c.stopping.Load() {
		if c.in.Buffered() < requestSize {
			c.out.flush() // before waiting for the client, who may be waiting for us
		}
		if err := c.out.broken(); err != nil {
			return err
		}
		head, err := c.in.Peek(requestSize)
		if err != nil {
			if err == io.EOF && len(head) == 0 {
				return errEnd
			}
			return err
		}
		if m := binary.BigEndian.Uint32(head); m != magicRequest {
			return breach(fmt.Sprintf("magic number %#x instead of a request's", m))
		}
		r := request{
			flags: binary.BigEndian.Uint16(head[4:]), kind: binary.BigEndian.Uint16(head[6:]), cookie: binary.BigEndian.Uint64(head[8:]),
			off: binary.BigEndian.Uint64(head[16:]), length: binary.BigEndian.Uint32(head[24:]),
		}
		if _, err := c.in.Discard(requestSize); err != nil {
			return err
		}
		if r.kind == cmdDisconnect {
			return errEnd
		}
		if err := c.request(r); err != nil {
			return err
		}
	}
	return nil
}

// request serves a request or hands it to workers. An error ends the connection.
func (c *conn) request(r request) error {
	if r.kind == cmdWrite && r.length > MaxPayload {
		return breach(fmt.Sprintf("write of %d bytes", r.length))
	}
	if bad := c.check(r); bad != 0 {
		if r.kind == cmdWrite {
			c.out.flush()
			if _, err := c.in.Discard(int(r.length)); err != nil {
				return err
			}
		}
		c.out.fail(c.structured, r.cookie, bad)
		return nil
	}
	switch {
	case r.length == 0 && r.kind != cmdFlush, r.kind == cmdCache:
		c.nothing(r)
		return nil
	case r.kind == cmdRead && c.direct.takes(r):
		return c.directRead(r)
	case r.kind == cmdWrite && c.direct.takes(r):
		return c.directWrite(r)
	case r.kind == cmdRead, r.kind == cmdWrite:
		return c.pieces(r)
	}
	o, s := c.pool.operation(r, 1), c.slot()
	s.op, s.off, s.n = o, int64(r.off), int64(r.length)
	c.dispatch(s)
	return nil
}

// nothing answers a request that has nothing to do.
func (c *conn) nothing(r request) {
	switch {
	case r.kind == cmdBlockStatus:
		c.out.fail(c.structured, r.cookie, errInvalid) // no descriptor describes nothing
	case r.kind == cmdRead && c.structured:
		putChunk(c.out.room(structuredReplySize), replyFlagDone, replyNone, r.cookie, 0)
	default:
		c.out.reply(r.cookie)
	}
}

// flagsOf has the flags that a command takes besides FUA, which all take.
var flagsOf = [...]uint16{
	cmdRead: cmdFlagDontFragment, cmdWrite: 0, cmdDisconnect: 0, cmdFlush: 0, cmdTrim: 0, cmdCache: 0,
	cmdWriteZeroes: cmdFlagNoHole | cmdFlagFastZero, cmdBlockStatus: cmdFlagReqOne,
}

// check returns what is wrong with a request, or 0 (section "Error values").
func (c *conn) check(r request) code {
	if int(r.kind) >= len(flagsOf) || r.flags&^(flagsOf[r.kind]|cmdFlagFUA) != 0 {
		return errInvalid
	}
	changes := r.kind == cmdWrite || r.kind == cmdTrim || r.kind == cmdWriteZeroes
	size := uint64(c.export.Image.Size())
	switch {
	case changes && c.export.ReadOnly:
		return errPerm
	case r.kind == cmdFlush:
		if r.off != 0 || r.length != 0 {
			return errInvalid
		}
	case r.off > size || uint64(r.length) > size-r.off:
		if r.kind == cmdWrite || r.kind == cmdWriteZeroes {
			return errNoSpace
		}
		return errInvalid
	}
	switch {
	case r.kind == cmdRead && r.flags&cmdFlagDontFragment != 0:
		if !c.structured {
			return errInvalid
		}
		if r.length > pieceSize {
			return errOverflow
		}
	case r.kind == cmdRead && r.length > MaxPayload:
		if c.structured {
			return errOverflow
		}
		return errInvalid
	case r.kind == cmdBlockStatus && (!c.structured || c.contexts == 0):
		return errInvalid
	}
	return 0
}

// pieces hands a read or write to workers in pieces. Of a write it reads the data meanwhile.
func (c *conn) pieces(r request) error {
	off, end := int64(r.off), int64(r.off)+int64(r.length)
	if r.kind == cmdRead && !c.structured { // one header for all the data: one worker sends it
		s := c.slot()
		s.op, s.off, s.n = c.pool.operation(r, 1), off, end-off
		c.dispatch(s)
		return nil
	}
	o := c.pool.operation(r, int((end-1)/pieceSize-off/pieceSize)+1)
	for off < end {
		s := c.slot()
		s.op, s.off, s.n = o, off, min(end, (off/pieceSize+1)*pieceSize)-off
		if r.kind == cmdWrite {
			if int64(c.in.Buffered()) < s.n {
				c.out.flush()
			}
			if _, err := io.ReadFull(c.in, s.buffer()[:s.n]); err != nil {
				c.pool.put(s)
				return err
			}
		}
		off += s.n
		c.dispatch(s)
	}
	return nil
}

// slot takes a free slot, waiting for one if need be.
func (c *conn) slot() *slot {
	if s := c.pool.try(); s != nil {
		return s
	}
	c.out.flush()
	return c.pool.get()
}

// dispatch hands a slot to a worker; there are as many as slots were ever needed at a time.
func (c *conn) dispatch(s *slot) {
	if c.running < c.pool.taken() {
		c.running++
		c.workers.Go(c.worker)
	}
	c.work <- s
}

func (c *conn) worker() {
	for s := range c.work {
		s.serve(c)
		c.pool.put(s)
	}
}

// trouble returns the code for what the image returned, and logs the first errors.
func (c *conn) trouble(doing string, off int64, err error) code {
	if err == nil {
		return 0
	}
	const most = 8 // lines for a connection
	if c.troubles.Add(1) <= most {
		c.server.log.Warn("NBD request failed", "doing", doing, "offset", off, "err", err)
	}
	return codeOf(err)
}
