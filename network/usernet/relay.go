package usernet

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/sharevm/vmm/internal/guard"
)

// relay carries a TCP connection between the guest (netstack) and a socket of the host. Each direction moves bytes from
// the buffers of one side right into those of the other, so that nothing is held for a slow side but what the windows
// allow. A direction that has ended is closed on the other side, and the other direction lives on.
type relay struct {
	guest tcpip.Endpoint
	wq    *waiter.Queue
	host  *net.TCPConn
	raw   syscall.RawConn
}

// maxChunk is the most that one step of a relay moves: it keeps the connections fair to each other.
const maxChunk = 256 << 10

// relay carries a connection until both directions have ended, and closes both sides.
func (n *Network) relay(guest tcpip.Endpoint, wq *waiter.Queue, host *net.TCPConn) {
	configureGuest(guest)
	n.budget.join(guest, host)
	defer n.budget.leave(guest)
	r := &relay{guest: guest, wq: wq, host: host}
	raw, err := host.SyscallConn()
	if err != nil || !n.track(r) {
		r.Close()
		return
	}
	defer n.untrack(r)
	r.raw = raw
	n.tcp.open.Add(1)
	defer n.tcp.open.Add(-1)
	n.stats.tcpTotal.Add(1)

	// A reset by the guest has to wake a direction that waits for the host. The socket is not closed right here: that
	// would wait for a direction that may be waiting for the lock under which netstack tells of the reset.
	lost := waiter.NewFunctionEntry(waiter.EventErr|waiter.EventHUp, func(waiter.EventMask) {
		if tcp.EndpointState(guest.State()) == tcp.StateError {
			host.SetDeadline(time.Unix(1, 0))
		}
	})
	wq.EventRegister(&lost)
	defer wq.EventUnregister(&lost)

	var out sync.WaitGroup
	out.Go(func() {
		defer guard.Panic(n.cfg.Logger, "user network")
		r.carry(r.outward)
	})
	r.carry(r.inward)
	out.Wait()
	guest.Close()
	host.Close()
}

// carry has the bytes of one direction moved, and ends the connection unless that ends well.
func (r *relay) carry(direction func() error) {
	well := false
	defer func() {
		if !well {
			r.Close()
		}
	}()
	well = direction() == nil
}

// Close ends the connection at once: both sides see a reset.
func (r *relay) Close() error {
	r.guest.Abort()
	r.host.SetLinger(0) // an error says that it is closed already
	return r.host.Close()
}

// outward moves the guest's bytes to the host until the guest says that it is done.
func (r *relay) outward() error {
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp)
	r.wq.EventRegister(&entry)
	defer r.wq.EventUnregister(&entry)
	var w socketWriter
	defer w.free()
	var terr tcpip.Error
	step := func(fd uintptr) bool {
		w.fd, w.full = int(fd), false
		if w.flush() != nil {
			return !w.full
		}
		_, terr = r.guest.Read(&w, tcpip.ReadOptions{})
		if w.err == nil {
			w.flush()
		}
		return !w.full
	}
	for {
		terr = nil
		if err := r.raw.Write(step); err != nil {
			return err
		}
		switch {
		case w.err != nil:
			return w.err
		case terr == nil:
		case isError[*tcpip.ErrWouldBlock](terr):
			w.free()
			<-readable
		case isError[*tcpip.ErrClosedForReceive](terr):
			return r.host.CloseWrite()
		case isError[*tcpip.ErrBadBuffer](terr): // the writer was full at its first byte, and has room now
		default:
			return stackError{terr}
		}
	}
}

// inward moves the host's bytes to the guest until the host says that it is done.
func (r *relay) inward() error {
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	r.wq.EventRegister(&entry)
	defer r.wq.EventUnregister(&entry)
	var src socketReader
	var terr tcpip.Error
	step := func(fd uintptr) bool {
		src.fd = int(fd)
		switch src.err = src.measure(); src.err {
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			src.err = nil // nothing was moved: the next step is the same again
			return true
		}
		if src.err == nil {
			_, terr = r.guest.Write(&src, tcpip.WriteOptions{})
		}
		return true
	}
	for {
		terr = nil
		if err := r.raw.Read(step); err != nil {
			return err
		}
		switch {
		case src.err == io.EOF:
			if terr := r.guest.Shutdown(tcpip.ShutdownWrite); terr != nil {
				return stackError{terr}
			}
			return nil
		case src.err != nil:
			return src.err
		case terr == nil:
		case isError[*tcpip.ErrWouldBlock](terr):
			<-writable
		default:
			return stackError{terr}
		}
	}
}

func isError[E tcpip.Error](err tcpip.Error) bool {
	_, ok := err.(E)
	return ok
}

// socketReader is a socket's unread bytes as what netstack sends.
type socketReader struct {
	fd    int
	size  int // bytes that are there
	err   error
	probe [1]byte
	held  int // bytes of probe that were read, and not by netstack: 0 or 1
}

var _ tcpip.Payloader = (*socketReader)(nil)

// measure finds out how many bytes are there; netstack wants to know before it reads them. It errs with io.EOF at the end,
// and with EAGAIN when there are none yet.
func (s *socketReader) measure() error {
	size, err := unread(s.fd)
	if err != nil {
		return err
	}
	if size+s.held == 0 {
		if s.held, err = receive(s.fd, s.probe[:]); err != nil { // tells the end from nothing yet
			s.held = 0
			return err
		}
		if s.held == 0 {
			return io.EOF
		}
	}
	s.size = min(s.held+size, maxChunk)
	return nil
}

func (s *socketReader) Len() int { return s.size }

func (s *socketReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.held > 0 {
		s.held = 0
		p[0] = s.probe[0]
		return 1, nil
	}
	n, err := receive(s.fd, p)
	switch {
	case err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.ErrUnexpectedEOF // there were more: io.EOF would make netstack ask for ever
	}
	return n, nil
}

// socketWriter writes what netstack received to a socket that does not block. Large pieces go straight to the socket;
// small ones, as a guest without segmentation offload sends them, are gathered.
type socketWriter struct {
	fd     int
	full   bool // the socket took less than it was given
	err    error
	gather *[gatherSize]byte
	held   []byte // part of gather
}

const (
	gatherSize = 64 << 10
	largePiece = 16 << 10
)

var gatherPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}

// errFull ends netstack's reading when the socket takes no more.
var errFull = errors.New("socket full")

func (w *socketWriter) Write(p []byte) (int, error) {
	if len(w.held) == 0 && len(p) >= largePiece {
		return w.send(p)
	}
	if w.gather == nil {
		w.gather = gatherPool.Get().(*[gatherSize]byte)
		w.held = w.gather[:0]
	}
	if len(w.held)+len(p) > gatherSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if len(p) >= largePiece {
			return w.send(p)
		}
	}
	w.held = append(w.held, p...)
	return len(p), nil
}

// flush sends what has been gathered. What the socket does not take stays.
func (w *socketWriter) flush() error {
	if len(w.held) == 0 {
		return nil
	}
	n, err := w.send(w.held)
	w.held = w.held[:copy(w.held, w.held[n:])]
	return err
}

func (w *socketWriter) send(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := send(w.fd, p[done:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			w.full = true
			return done, errFull
		case err != nil:
			w.err = err
			return done, err
		default:
			done += n
		}
	}
	return done, nil
}

// free gives an empty gathering buffer back, so that idle connections hold none.
func (w *socketWriter) free() {
	if w.gather != nil {
		gatherPool.Put(w.gather)
		w.gather, w.held = nil, nil
	}
}
