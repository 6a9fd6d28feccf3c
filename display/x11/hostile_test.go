package x11

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
)

// fakeX answers clients at a socket, whose display it returns, with serve.
func fakeX(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "x:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return filepath.Join(dir, "x:0")
}

// setupReply is an X server's that has one screen of 64x48 pixels.
func setupReply() []byte {
	le := binary.LittleEndian
	b := make([]byte, 8+32+8+40+8+24)
	b[0] = 1
	le.PutUint16(b[2:], 11)
	le.PutUint16(b[6:], uint16(len(b)-8)/4)
	s := b[8:]
	le.PutUint32(s[4:], 0x200000)
	le.PutUint32(s[8:], 0x1fffff)
	le.PutUint16(s[18:], 0xffff)
	s[20], s[21] = 1, 1 // screens and formats
	copy(s[32:], []byte{depth, 32, 32})
	r := s[40:]
	le.PutUint32(r, 1)       // root
	le.PutUint16(r[20:], 64) // pixels
	le.PutUint16(r[22:], 48)
	le.PutUint32(r[32:], 7) // visual
	r[38], r[39] = depth, 1
	d := r[40:]
	d[0], d[2] = depth, 1
	v := d[8:]
	le.PutUint32(v, 7)
	v[4] = 4 // TrueColor
	le.PutUint32(v[8:], 0xff0000)
	le.PutUint32(v[12:], 0xff00)
	le.PutUint32(v[16:], 0xff)
	return b
}

// converse answers the first requests of a client decently, so many of them, and returns the number of the next.
func converse(conn net.Conn, requests int) (seq uint16, err error) {
	hello := make([]byte, 12)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	n, m := int(le.Uint16(hello[6:])), int(le.Uint16(hello[8:]))
	if _, err := io.CopyN(io.Discard, conn, int64(n+pad(n)+m+pad(m))); err != nil {
		return 0, err
	}
	if _, err := conn.Write(setupReply()); err != nil {
		return 0, err
	}
	for range requests {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return seq, err
		}
		if _, err := io.CopyN(io.Discard, conn, 4*int64(le.Uint16(head[2:]))-4); err != nil {
			return seq, err
		}
		seq++
		switch head[0] {
		case 16, 43, 98: // InternAtom, GetInputFocus, QueryExtension: an answer of nothing but zeroes
			b := make([]byte, 32)
			b[0] = 1
			le.PutUint16(b[2:], seq)
			le.PutUint32(b[8:], uint32(seq))
			b[8] &^= boolByte(head[0] == 98)
			if _, err := conn.Write(b); err != nil {
				return seq, err
			}
		}
	}
	return seq + 1, nil
}

func boolByte(b bool) byte {
	if b {
		return 0xff
	}
	return 0
}

// TestHostileServer connects to servers that hang, go away or talk nonsense at any moment: the window may be lost, the machine is not.
func TestHostileServer(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 100 * time.Millisecond
	hang := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for name, after := range map[string]func(conn net.Conn, seq uint16){
		"hangs":     func(conn net.Conn, _ uint16) { hang(conn) },
		"goes away": func(net.Conn, uint16) {},
		"answers at length": func(conn net.Conn, seq uint16) {
			b := make([]byte, 32)
			b[0] = 1
			binary.LittleEndian.PutUint16(b[2:], seq)
			binary.LittleEndian.PutUint32(b[4:], 0x3fffffff)
			_, _ = conn.Write(b)
			hang(conn)
		},
		"nonsense": func(conn net.Conn, _ uint16) {
			b := make([]byte, 1<<16)
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			_, _ = conn.Write(b)
		},
		"events": func(conn net.Conn, _ uint16) {
			for range 20000 { // more than anybody keeps
				b := make([]byte, 32)
				for i := range b {
					b[i] = byte(rand.Uint32())
				}
				b[0] = 2 + byte(rand.Uint32N(33))
				if _, err := conn.Write(b); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for requests := 0; requests < 40; requests += 4 {
				at := fakeX(t, func(conn net.Conn) {
					if seq, err := converse(conn, requests); err == nil {
						after(conn, seq)
					}
				})
				surface := display.NewSurface()
				src := displaytest.New(t, surface, 64, 48)
				var hub input.Hub
				k := &taker{}
				hub.Attach(input.Keyboard, k)
				w, err := Open(Config{Machine: frontend.Machine{Name: "vm", Surface: surface, Input: &hub, Clipboard: new(frontend.Clipboard)}, Display: at})
				if err != nil {
					continue
				}
				src.Resize(t, 32, 32)
				select {
				case <-w.Done():
				case <-time.After(patience / 2): // a server that hangs while nothing is asked of it keeps its window
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				down := map[input.Code]bool{}
				for _, e := range k.take() {
					down[e.Code] = e.Value == 1
				}
				for c, d := range down {
					if d {
						t.Errorf("%v is still down", c)
					}
				}
			}
		})
	}
}

func FuzzMeter(f *testing.F) {
	f.Add(setupReply(), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		var whole, parts meter
		whole.sent.Store(100)
		parts.sent.Store(100)
		err := whole.feed(b)
		var err2 error
		for rest := b; len(rest) > 0 && err2 == nil; {
			n := min(int(piece)+1, len(rest))
			err2 = parts.feed(rest[:n])
			rest = rest[n:]
		}
		if (err == nil) != (err2 == nil) || err == nil && (whole.skip != parts.skip || whole.have != parts.have || whole.answered != parts.answered) {
			t.Errorf("%v, %v", err, err2)
		}
		if whole.skip > max(maxReply, 4*0xffff) {
			t.Errorf("waits for %d bytes", whole.skip)
		}
	})
}
