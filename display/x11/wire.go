package x11

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jezek/xgb"
	"golang.org/x/sys/unix"
)

func init() { xgb.Logger = log.New(io.Discard, "", 0) } // what goes wrong comes back as an error, too

// maxReply bounds an answer of the server: the longest that is asked for is a clipboard's text.
const maxReply = 2 << 20

// wire is the connection, between xgb and the server. xgb has neither deadlines nor bounds, and cannot pass open files.
type wire struct {
	net.Conn
	hello []byte       // in place of xgb's own, which does not know the display; nil once it was sent
	files atomic.Int32 // major opcode of MIT-SHM, when a file goes along with the next AttachFd
	file  int
	meter meter
	gone  chan struct{} // closed when the connection ends
	once  sync.Once
}

// Close ends the connection. It is also the end of it when anything goes wrong: xgb's goroutines may wait for each other for ever.
func (w *wire) Close() error {
	w.once.Do(func() { close(w.gone) })
	return w.Conn.Close()
}

// shmAttachFd is the minor opcode of the request that an open file goes along with.
const shmAttachFd = 6

// Write writes one request.
func (w *wire) Write(b []byte) (int, error) {
	n, err := w.write(b)
	if err != nil {
		_ = w.Close()
	}
	return n, err
}

func (w *wire) write(b []byte) (int, error) {
	if w.hello == nil {
		w.meter.sent.Add(1)
	}
	if err := w.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if w.hello != nil {
		hello := w.hello
		w.hello = nil
		_, err := w.Conn.Write(hello)
		return len(b), err
	}
	if op := w.files.Load(); op != 0 && len(b) > 1 && int32(b[0]) == op && b[1] == shmAttachFd {
		w.files.Store(0)
		n, _, err := w.Conn.(*net.UnixConn).WriteMsgUnix(b, unix.UnixRights(w.file), nil)
		return n, err
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if bad := w.meter.feed(b[:n]); bad != nil {
		n, err = 0, bad // before xgb makes room for it
	}
	if err != nil {
		_ = w.Close()
	}
	return n, err
}

// meter follows the server's messages as far as their lengths go.
type meter struct {
	head  [32]byte
	have  int
	skip  int  // bytes of the message that come after its head
	begun bool // the answer to hello is over, or under way
	// Answers come in order, one to a request: xgb would wait for ever for the request of any other.
	sent     atomic.Uint32 // requests
	answered uint16        // the last that was, modulo 65536
}

func (m *meter) feed(p []byte) error {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(m.skip, len(p))
			m.skip -= n
			p = p[n:]
			continue
		}
		want := 32
		if !m.begun {
			want = 8
		}
		n := copy(m.head[m.have:want], p)
		m.have += n
		p = p[n:]
		if m.have < want {
			return nil
		}
		m.have = 0
		if !m.begun {
			m.begun = true
			m.skip = 4 * int(binary.LittleEndian.Uint16(m.head[6:]))
			continue
		}
		if m.head[0] > 1 { // an event
			continue
		}
		seq, sent := binary.LittleEndian.Uint16(m.head[2:]), uint16(m.sent.Load())
		if ahead := seq - m.answered; ahead == 0 || ahead > sent-m.answered {
			return fmt.Errorf("the X server answers request %d after %d, of %d", seq, m.answered, sent)
		}
		m.answered = seq
		if m.head[0] == 0 { // an error
			continue
		}
		if words := binary.LittleEndian.Uint32(m.head[4:]); words <= maxReply/4 {
			m.skip = 4 * int(words)
		} else {
			return fmt.Errorf("the X server answers with %d words", words)
		}
	}
	return nil
}
