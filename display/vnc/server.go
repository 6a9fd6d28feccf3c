package vnc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/internal/guard"
)

// maxClients is how many viewers a server has at once, those that have not said their password yet included.
const maxClients = 8

// Config describes a server.
type Config struct {
	Machine frontend.Machine
	// Password is asked for (VNC authentication); at most 8 bytes of it count, but with TLS where a viewer sends it all. "" asks for none.
	Password string
	// JPEG is the quality, 1 to 100, of areas of many colours for viewers that ask for it in the encoding Tight; 0 shows all as it is.
	JPEG int
	// Certificate has viewers that come by Listen encrypt (VeNCrypt), and refuses those that cannot; nil encrypts nothing.
	Certificate *tls.Certificate
	// Forwarded says that the server is reached through a forward of a loopback port elsewhere, and may listen on any address.
	Forwarded bool
	Log       *slog.Logger // nil is silent
}

// Server serves viewers.
type Server struct {
	cfg Config

	mu        sync.Mutex // guards the following
	closed    bool
	listeners []net.Listener
	conns     map[net.Conn]struct{}
	running   sync.WaitGroup
}

// New returns a server without listeners.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: c, conns: map[net.Conn]struct{}{}}
}

// ErrOpen is why a server does not listen: anybody in the network could look and type.
var ErrOpen = errors.New("VNC would be open to the network without a password: set RemoteDisplay.vnc.password, or listen on 127.0.0.1")

// Listen serves viewers at an address from now on; port 0 takes any that is free. An address that others can reach needs a password.
func (s *Server) Listen(at netip.AddrPort) (netip.AddrPort, error) {
	if !at.Addr().IsLoopback() && !s.cfg.Forwarded && s.cfg.Password == "" {
		return at, ErrOpen
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return at, fmt.Errorf("VNC: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	s.running.Go(func() {
		defer guard.Panic(s.cfg.Log, "VNC listener")
		s.accept(l)
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// acceptPause is a rest after a failure to accept, as when file descriptors have run out.
const acceptPause = 100 * time.Millisecond

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(acceptPause)
			continue
		}
		s.running.Go(func() { s.serve(Steady(conn), s.cfg.Password, s.cfg.Certificate) })
	}
}

// Serve serves one viewer until it goes, with a password of its own or "" for none, without encryption, and closes the connection, whose writes have to end by themselves (Steady).
func (s *Server) Serve(conn net.Conn, password string) { s.serve(conn, password, nil) }

func (s *Server) serve(conn net.Conn, password string, cert *tls.Certificate) {
	defer guard.Panic(s.cfg.Log, "VNC client")
	defer conn.Close()
	if err := s.enter(conn); err != nil {
		s.cfg.Log.Info("VNC viewer refused", "from", conn.RemoteAddr(), "error", err)
		return
	}
	defer s.leave(conn)
	c := newClient(conn, s.cfg, password, cert)
	err := c.run()
	s.cfg.Log.Info("VNC viewer gone", "from", conn.RemoteAddr(), "why", err)
}

var errFull = fmt.Errorf("%d viewers are connected already", maxClients)

func (s *Server) enter(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return net.ErrClosed
	case len(s.conns) >= maxClients:
		return errFull
	}
	s.conns[conn] = struct{}{}
	return nil
}

func (s *Server) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Close ends the listeners and the viewers that came by them, and returns when they are gone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
