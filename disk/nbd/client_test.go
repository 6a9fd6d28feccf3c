package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// client is an NBD client that holds the server to the protocol: every reply that breaks a rule ends it with an error.
type client struct {
	nc         net.Conn
	size       int64
	flags      uint16
	structured bool
	contexts   map[uint32]string

	mu      sync.Mutex
	calls   map[uint64]*call
	next    uint64
	broken  error
	stopped chan struct{}
}

// call is a request on its way.
type call struct {
	request
	data   []byte // of a read
	got    []span // what of it has come
	holes  int    // chunks
	datas  int
	status map[string][]descriptor
	err    error
	done   chan struct{}
}

type span struct{ off, end uint64 }

type descriptor struct{ length, status uint32 }

// setup says what a client negotiates.
type setup struct {
	name       string
	simple     bool     // no structured replies
	contexts   []string // nil: all
	exportName bool     // EXPORT_NAME instead of GO
}

func u16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func str(s string) []byte { return append(u32(uint32(len(s))), s...) }

// hello does the first exchange.
func hello(nc net.Conn, flags uint32) error {
	var head [18]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return err
	}
	if string(head[:16]) != "NBDMAGICIHAVEOPT" || binary.BigEndian.Uint16(head[16:]) != 3 {
		return fmt.Errorf("greeting %x", head)
	}
	_, err := nc.Write(u32(flags))
	return err
}

// optionReply is a reply to an option.
type optionReply struct {
	kind uint32
	data []byte
}

// option sends an option and returns the replies to it, the final one last.
func option(nc net.Conn, opt uint32, data []byte) (replies []optionReply, err error) {
	if _, err := nc.Write(join([]byte("IHAVEOPT"), u32(opt), u32(uint32(len(data))), data)); err != nil {
		return nil, err
	}
	for {
		var head [20]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return replies, err
		}
		if binary.BigEndian.Uint64(head[:]) != magicOptionReply || binary.BigEndian.Uint32(head[8:]) != opt {
			return replies, fmt.Errorf("reply %x to option %d", head, opt)
		}
		r := optionReply{binary.BigEndian.Uint32(head[12:]), make([]byte, binary.BigEndian.Uint32(head[16:]))}
		if _, err := io.ReadFull(nc, r.data); err != nil {
			return replies, err
		}
		replies = append(replies, r)
		if r.kind == repAck || r.kind >= repError {
			return replies, nil
		}
	}
}

// accepted is option for those that must be accepted.
func accepted(nc net.Conn, opt uint32, data []byte) ([]optionReply, error) {
	replies, err := option(nc, opt, data)
	if err != nil {
		return nil, err
	}
	if last := replies[len(replies)-1]; last.kind != repAck {
		return nil, fmt.Errorf("option %d: %#x %s", opt, last.kind, last.data)
	}
	return replies[:len(replies)-1], nil
}

// connect negotiates on nc.
func connect(nc net.Conn, o setup) (*client, error) {
	c := &client{nc: nc, structured: !o.simple, contexts: map[uint32]string{}, calls: map[uint64]*call{}, stopped: make(chan struct{})}
	if err := hello(nc, 3); err != nil {
		return nil, err
	}
	if c.structured {
		if _, err := accepted(nc, optStructuredReply, nil); err != nil {
			return nil, err
		}
		if o.contexts == nil {
			for _, m := range contexts {
				o.contexts = append(o.contexts, m.name)
			}
		}
		q := append(str(o.name), u32(uint32(len(o.contexts)))...)
		for _, name := range o.contexts {
			q = append(q, str(name)...)
		}
		replies, err := accepted(nc, optSetMetaContext, q)
		if err != nil {
			return nil, err
		}
		for _, r := range replies {
			c.contexts[binary.BigEndian.Uint32(r.data)] = string(r.data[4:])
		}
	}
	if o.exportName {
		var b [10]byte
		if _, err := nc.Write(join([]byte("IHAVEOPT"), u32(optExportName), str(o.name))); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(nc, b[:]); err != nil {
			return nil, err
		}
		c.size, c.flags = int64(binary.BigEndian.Uint64(b[:])), binary.BigEndian.Uint16(b[8:])
	} else {
		replies, err := accepted(nc, optGo, join(str(o.name), u16(1), u16(infoBlockSize)))
		if err != nil {
			return nil, err
		}
		for _, r := range replies {
			if binary.BigEndian.Uint16(r.data) == infoExport {
				c.size, c.flags = int64(binary.BigEndian.Uint64(r.data[2:])), binary.BigEndian.Uint16(r.data[10:])
			}
		}
	}
	go c.receive()
	return c, nil
}

// start sends a request; data is what a write has to say.
func (c *client) start(r request, data []byte) *call {
	k := &call{request: r, status: map[string][]descriptor{}, done: make(chan struct{})}
	if r.kind == cmdRead {
		k.data = make([]byte, r.length)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		k.err = c.broken
		close(k.done)
		return k
	}
	c.next += 0x1_0000_0001
	k.cookie = c.next
	c.calls[k.cookie] = k
	p := encode(k.request)
	if r.kind == cmdWrite {
		p = append(p, data...)
	}
	if _, err := c.nc.Write(p); err != nil {
		delete(c.calls, k.cookie)
		k.err = err
		close(k.done)
	}
	return k
}

func encode(r request) []byte {
	return join(u32(magicRequest), u16(r.flags), u16(r.kind), u64(r.cookie), u64(r.off), u32(r.length))
}

func (k *call) wait() error {
	<-k.done
	return k.err
}

// do sends a request and waits for the reply.
func (c *client) do(kind, flags uint16, off, length uint64, data []byte) (*call, error) {
	k := c.start(request{flags: flags, kind: kind, off: off, length: uint32(length)}, data)
	return k, k.wait()
}

// receive reads replies until the connection ends.
func (c *client) receive() {
	var err error
	for err == nil {
		err = c.reply()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
	for _, k := range c.calls {
		k.err = err
		close(k.done)
	}
	close(c.stopped)
}

func (c *client) reply() error {
	var head [20]byte
	if _, err := io.ReadFull(c.nc, head[:4]); err != nil {
		return err
	}
	switch magic := binary.BigEndian.Uint32(head[:]); magic {
	case magicSimpleReply:
		if _, err := io.ReadFull(c.nc, head[4:16]); err != nil {
			return err
		}
		k := c.of(binary.BigEndian.Uint64(head[8:]))
		if k == nil || c.structured && (k.kind == cmdRead || k.kind == cmdBlockStatus) {
			return fmt.Errorf("simple reply %x", head)
		}
		if e := binary.BigEndian.Uint32(head[4:]); e != 0 {
			k.err = code(e)
		} else if k.kind == cmdRead {
			if _, err := io.ReadFull(c.nc, k.data); err != nil {
				return err
			}
		}
		c.end(k)
	case magicStructuredReply:
		if _, err := io.ReadFull(c.nc, head[4:]); err != nil {
			return err
		}
		k := c.of(binary.BigEndian.Uint64(head[8:]))
		if k == nil || !c.structured {
			return fmt.Errorf("structured reply %x", head)
		}
		p := make([]byte, binary.BigEndian.Uint32(head[16:]))
		if _, err := io.ReadFull(c.nc, p); err != nil {
			return err
		}
		if err := c.chunk(k, binary.BigEndian.Uint16(head[6:]), p); err != nil {
			return err
		}
		if binary.BigEndian.Uint16(head[4:])&replyFlagDone != 0 {
			return c.whole(k)
		}
	default:
		return fmt.Errorf("magic number %#x", magic)
	}
	return nil
}

func (c *client) of(cookie uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[cookie]
}

func (c *client) end(k *call) {
	c.mu.Lock()
	delete(c.calls, k.cookie)
	c.mu.Unlock()
	close(k.done)
}

// chunk takes a chunk of a structured reply.
func (c *client) chunk(k *call, kind uint16, p []byte) error {
	switch {
	case kind == replyNone && len(p) == 0:
	case kind == replyOffsetData && len(p) > 8 && k.kind == cmdRead:
		k.datas++
		return k.content(binary.BigEndian.Uint64(p), p[8:])
	case kind == replyOffsetHole && len(p) == 12 && k.kind == cmdRead && binary.BigEndian.Uint32(p[8:]) > 0:
		k.holes++
		return k.content(binary.BigEndian.Uint64(p), make([]byte, binary.BigEndian.Uint32(p[8:])))
	case kind == replyBlockStatus && len(p) >= 12 && len(p)%8 == 4 && k.kind == cmdBlockStatus:
		name := c.contexts[binary.BigEndian.Uint32(p)]
		if name == "" || k.status[name] != nil {
			return fmt.Errorf("status of context %q", name)
		}
		for p = p[4:]; len(p) > 0; p = p[8:] {
			k.status[name] = append(k.status[name], descriptor{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])})
		}
		return k.described(k.status[name])
	case kind == replyError && len(p) >= 6 && len(p) == 6+int(binary.BigEndian.Uint16(p[4:])):
		k.err = code(binary.BigEndian.Uint32(p))
	case kind == replyErrorOffset && len(p) == 14+int(binary.BigEndian.Uint16(p[4:])):
		off := binary.BigEndian.Uint64(p[len(p)-8:])
		if off < k.off || off >= k.off+uint64(k.length) {
			return fmt.Errorf("error at %d of a request for %d at %d", off, k.length, k.off)
		}
		k.err = code(binary.BigEndian.Uint32(p))
	default:
		return fmt.Errorf("chunk of type %d with %d bytes for command %d", kind, len(p), k.kind)
	}
	return nil
}

// content takes a part of what is read.
func (k *call) content(off uint64, p []byte) error {
	end := off + uint64(len(p))
	if off < k.off || end > k.off+uint64(k.length) {
		return fmt.Errorf("content from %d to %d for a read of %d at %d", off, end, k.length, k.off)
	}
	for _, g := range k.got {
		if off < g.end && g.off < end {
			return fmt.Errorf("content from %d to %d after %d to %d", off, end, g.off, g.end)
		}
	}
	k.got = append(k.got, span{off, end})
	if k.flags&cmdFlagDontFragment != 0 && len(k.got) > 1 {
		return errors.New("fragments in spite of DF")
	}
	copy(k.data[off-k.off:], p)
	return nil
}

// described checks the descriptors of a block status.
func (k *call) described(list []descriptor) error {
	sum := uint64(0)
	for n, d := range list {
		if d.length == 0 || n > 0 && list[n-1].status == d.status {
			return fmt.Errorf("descriptor %d of %v", n, list)
		}
		if sum >= uint64(k.length) {
			return fmt.Errorf("descriptors beyond %d: %v", k.length, list)
		}
		sum += uint64(d.length)
	}
	if k.flags&cmdFlagReqOne != 0 && (len(list) > 1 || sum > uint64(k.length)) {
		return fmt.Errorf("REQ_ONE of %d: %v", k.length, list)
	}
	return nil
}

// whole ends a structured reply.
func (c *client) whole(k *call) error {
	if k.err == nil && k.kind == cmdRead {
		sum := uint64(0)
		for _, g := range k.got {
			sum += g.end - g.off
		}
		if sum != uint64(k.length) {
			return fmt.Errorf("%d bytes for a read of %d", sum, k.length)
		}
	}
	if k.err == nil && k.kind == cmdBlockStatus && len(k.status) != len(c.contexts) {
		return fmt.Errorf("status of %d contexts, want %d", len(k.status), len(c.contexts))
	}
	c.end(k)
	return nil
}

// close ends the session as a client should, and waits for the server to close the connection.
func (c *client) close() error {
	_, err := c.nc.Write(encode(request{kind: cmdDisconnect}))
	<-c.stopped
	return errors.Join(err, c.nc.Close())
}

// dial connects to a server's Unix socket, or fails the test.
func dial(t testing.TB, path string, o setup) *client {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := connect(nc, o)
	if err != nil {
		nc.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		<-c.stopped
	})
	return c
}
