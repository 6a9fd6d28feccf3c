package web

import (
	"bufio"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/display/vnc"
	"github.com/sharevm/vmm/internal/guard"
)

//go:embed page novnc/core novnc/vendor
var files embed.FS

const (
	maxClients  = 32               // connections at once
	requestTime = 10 * time.Second // for a request and its answer
	acceptPause = 100 * time.Millisecond
)

// Config describes a server.
type Config struct {
	// VNC serves the page's viewers, without a password of its own: they know the token.
	VNC *vnc.Server
	// Forwarded says that the server is reached through a forward of a loopback port elsewhere, by another address than its own. It may then listen on
	// any address, and answers to every name of the loopback.
	Forwarded bool
	Log       *slog.Logger // nil is silent
}

// Server is a web server for one page.
type Server struct {
	cfg      Config
	token    string
	listener net.Listener
	port     uint16
	places   chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex // guards the following
	closed bool
	conns  map[net.Conn]struct{}
}

// ErrOpen is why a server does not listen.
var ErrOpen = errors.New("the page is for browsers of this host alone, since nothing of it is encrypted: listen on 127.0.0.1, and reach it from elsewhere through ssh -L")

// Listen serves the page at a loopback address from now on. Port 0 takes any that is free.
func Listen(at netip.AddrPort, c Config) (*Server, error) {
	if !at.Addr().IsLoopback() && !c.Forwarded {
		return nil, ErrOpen
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("web page: %w", err)
	}
	s := &Server{
		cfg: c, token: strings.ToLower(rand.Text()), listener: l, port: l.Addr().(*net.TCPAddr).AddrPort().Port(),
		places: make(chan struct{}, maxClients), conns: map[net.Conn]struct{}{},
	}
	s.running.Go(func() {
		defer guard.Panic(c.Log, "web listener")
		s.accept()
	})
	return s, nil
}

// URL is the address of the page, which nobody should be told who may not use the machine.
func (s *Server) URL() string {
	host := s.listener.Addr().(*net.TCPAddr).AddrPort()
	if !host.Addr().IsLoopback() {
		host = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.port)
	}
	return "http://" + host.String() + "/" + s.token + "/"
}

// Close ends the server and all connections, and returns when they are gone.
func (s *Server) Close() error {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(acceptPause)
			continue
		}
		select {
		case s.places <- struct{}{}:
			s.running.Go(func() {
				defer func() { <-s.places }()
				s.serve(conn)
			})
		default:
			conn.Close()
		}
	}
}

// serve answers one request.
func (s *Server) serve(conn net.Conn) {
	defer guard.Panic(s.cfg.Log, "web client")
	defer conn.Close()
	if !s.enter(conn) {
		return
	}
	defer s.leave(conn)
	conn.SetDeadline(time.Now().Add(requestTime))
	in := bufio.NewReader(conn)
	r, err := readRequest(in)
	if err != nil {
		if errors.Is(err, errRequest) {
			_ = answer(conn, "400 Bad Request", "text/plain", []byte(err.Error()))
		}
		return
	}
	name, status := s.allow(&r)
	if status != "" {
		_ = answer(conn, status, "text/plain", []byte(status))
		return
	}
	if name == "websocket" {
		if upgrade(conn, &r) == nil {
			conn.SetDeadline(time.Time{})
			s.cfg.VNC.Serve(&socket{Conn: vnc.Steady(conn), in: in}, "")
		}
		return
	}
	_ = s.file(conn, name)
}

// allow says what a request asks for below the page's address, or the status with which it is refused.
func (s *Server) allow(r *request) (name, refused string) {
	if !s.ours(r.header.Get("Host")) {
		return "", "421 Misdirected Request"
	}
	if r.method != "GET" {
		return "", "405 Method Not Allowed"
	}
	token, name, ok := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 || !ok {
		return "", "404 Not Found"
	}
	if origin := r.header.Get("Origin"); name == "websocket" && origin != "http://"+r.header.Get("Host") {
		return "", "403 Forbidden"
	}
	return name, ""
}

// ours says whether a browser that asks for this host means the loopback.
func (s *Server) ours(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != fmt.Sprint(s.port) {
		return false
	}
	return slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, name) || host == s.listener.Addr().String()
}

// kinds are the types of the page's files.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
}

// file answers with a file of the page, or of noVNC.
func (s *Server) file(conn net.Conn, name string) error {
	if name == "" {
		name = "index.html"
	}
	if !strings.HasPrefix(name, "novnc/") {
		name = "page/" + name
	}
	body, err := fs.ReadFile(files, name) // refuses names like ../x
	if err != nil {
		return answer(conn, "404 Not Found", "text/plain", []byte("404 Not Found"))
	}
	kind := kinds[path.Ext(name)]
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	return answer(conn, "200 OK", kind, body)
}

func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *Server) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}
