package nbd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// Export is what a [Server] offers. An empty name asked for means it too.
type Export struct {
	Name        string // at most 4096 bytes of UTF-8 without NUL
	Description string // for people; likewise
	Image       disk.Image
	ReadOnly    bool // refuse what would change the image
}

func (e *Export) is(name string) bool { return name == "" || name == e.Name }

// preferred is the preferred block size in bytes: the format's own, as far as clients take such.
func (e *Export) preferred() uint32 {
	const least, most = 4 << 10, 64 << 10
	b := e.Image.Info().BlockSize
	if b < least || b&(b-1) != 0 {
		return least
	}
	return uint32(min(b, most))
}

// Options bound what clients may take. The zero value is a sensible choice.
type Options struct {
	// MaxConnections is how many clients are served at a time; 0 means 32. More are turned away.
	MaxConnections int
	// Depth is how many pieces of requests of one connection are worked on at a time; 0 means 16. Each may take 256 KiB of memory.
	Depth int
	// Handshake is how long a client may take to choose the export; 0 means 30 seconds.
	Handshake time.Duration
	// Logger is told of connections that end badly and of the image's errors; nil discards that.
	Logger *slog.Logger
}

// Server serves one export to any number of clients.
type Server struct {
	export Export
	o      Options
	log    *slog.Logger
	slots  sync.Pool // of *slot
	idle   chan struct{}
	known  known

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	clients   int  // of conns, those past the handshake
	went      bool // idle is closed
	closing   bool
	all       sync.WaitGroup // one for each of conns
}

// NewServer returns a server of e. The image stays the caller's: it is neither flushed nor closed.
func NewServer(e Export, o Options) (*Server, error) {
	if !isString(e.Name) {
		return nil, fmt.Errorf("%q cannot be the name of an NBD export: at most %d bytes of UTF-8", e.Name, maxString)
	}
	if !isString(e.Description) {
		return nil, fmt.Errorf("%q cannot be the description of an NBD export: at most %d bytes of UTF-8", e.Description, maxString)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 32
	}
	if o.Depth == 0 {
		o.Depth = 16
	}
	if o.Handshake == 0 {
		o.Handshake = 30 * time.Second
	}
	s := &Server{
		export: e, o: o, log: o.Logger, idle: make(chan struct{}), listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.slots.New = func() any { return newSlot() }
	return s, nil
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("NBD server is shut down")

// Serve accepts clients on l, which it closes, until Shutdown or an error of l. It may run for several listeners at a time.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		l.Close()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		l.Close()
	}()
	for {
		nc, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			switch {
			case closing:
				return ErrServerClosed
			case passing(err):
				s.log.Warn("cannot take an NBD client", "err", err)
				time.Sleep(50 * time.Millisecond) // descriptors come free when clients leave, which nothing announces
				continue
			}
			return err
		}
		if c := s.add(nc); c != nil {
			go s.serve(c)
		}
	}
}

// passing reports whether an accept that failed may succeed later: the kernel was short of something, or the client already gone.
func passing(err error) bool {
	return slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED}, func(e error) bool { return errors.Is(err, e) })
}

// add takes a client in, or turns it away and returns nil.
func (s *Server) add(nc net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= s.o.MaxConnections {
		s.log.Warn("NBD client turned away", "connections", len(s.conns))
		nc.Close()
		return nil
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.all.Add(1)
	return c
}

// serve runs a connection from its first byte to its last.
func (s *Server) serve(c *conn) {
	err := c.run()
	if err != nil && !errors.Is(err, errEnd) {
		s.log.Info("NBD connection ended", "client", c.name(), "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.began {
		if s.clients--; s.clients == 0 && !s.went {
			s.went = true
			close(s.idle)
		}
	}
	s.all.Done()
}

// begin counts c among the clients. It returns false if the server is being shut down.
func (s *Server) begin(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	c.began = true
	s.clients++
	return c.nc.SetDeadline(time.Time{}) == nil
}

// Idle is closed as soon as there were clients past the handshake and all of them are gone.
func (s *Server) Idle() <-chan struct{} { return s.idle }

// Shutdown takes no more clients and requests, and returns once what was in flight is done and answered. When ctx ends first, connections are
// cut, so that nothing waits for a client any more; what the image is in the middle of is waited for all the same.
// Afterwards nothing uses the image.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.all.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}
