package control

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/config"
)

const (
	maxClients = 16               // at once; others wait to be accepted
	patience   = 10 * time.Second // for a whole exchange
	// picturePatience is for a picture: it is made a PNG, by a host that may have other things to do.
	picturePatience = time.Minute
	// longPatience is for a snapshot, which writes as much as the guest has memory.
	longPatience = 10 * time.Minute
	// lastPatience is for the exchanges that are under way when the machine ends.
	lastPatience = 500 * time.Millisecond
)

//go:embed openapi.json
var openAPI []byte

// route is one thing that a client can ask for. do returns what the answer's body is made of.
type route struct {
	method, path string
	do           func(s *Server, r request) (any, error)
}

var routes = []route{
	{"GET", "/v1/machine", (*Server).status},
	{"GET", "/v1/limits", (*Server).limits},
	{"PUT", "/v1/limits", (*Server).replaceLimits},
	{"PATCH", "/v1/limits", (*Server).changeLimits},
	{"GET", "/v1/screenshot", (*Server).screenshot},
	{"GET", "/v1/console", (*Server).console},
	{"PUT", "/v1/console", (*Server).resizeConsole},
	{"GET", "/v1/log", (*Server).tail},
	{"GET", "/v1/snapshot", (*Server).snapshotFiles},
	{"POST", "/v1/snapshot", (*Server).snapshot},
	{"POST", "/v1/keys", (*Server).keys},
	{"POST", "/v1/pointer", (*Server).pointer},
	{"POST", "/v1/stop", (*Server).stop},
	{"POST", "/v1/reset", (*Server).reset},
	{"POST", "/v1/pause", func(s *Server, _ request) (any, error) { return s.pause(true) }},
	{"POST", "/v1/resume", func(s *Server, _ request) (any, error) { return s.pause(false) }},
	{"POST", "/v1/link", (*Server).link},
	{"GET", "/v1/openapi.json", func(*Server, request) (any, error) { return json.RawMessage(openAPI), nil }},
}

// Server answers the clients of one machine.
type Server struct {
	id      string
	pid     int
	uid     int // of the user, asked for before a sandbox keeps the process from asking
	machine Machine
	log     *slog.Logger
	// patience is for a whole exchange, but for those that take long.
	patience time.Duration

	change  sync.Mutex // held while a client changes something
	clients sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[*net.UnixConn]struct{} // of the clients
	consoles int                        // clients that have attached
}

// closing gives the clients that are there a moment to be answered, and those that come later none.
func (s *Server) closing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.conns {
		conn.SetDeadline(time.Now().Add(lastPatience))
	}
}

// enter notes that a client has come, and bounds how long it stays.
func (s *Server) enter(conn *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.SetDeadline(time.Unix(1, 0))
		return
	}
	conn.SetDeadline(time.Now().Add(s.patience))
	s.conns[conn] = struct{}{}
}

// extend gives an exchange that takes long the time for it.
func (s *Server) extend(conn *net.UnixConn, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		conn.SetDeadline(time.Now().Add(patience))
	}
}

func (s *Server) leave(conn *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serve answers clients until the listener is closed.
func (s *Server) serve(l *net.UnixListener) {
	places := make(chan struct{}, maxClients)
	for {
		places <- struct{}{}
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			s.clients.Wait()
			return
		case err != nil: // out of file descriptors, or a client that is gone already
			time.Sleep(100 * time.Millisecond)
			<-places
			continue
		}
		s.clients.Go(func() {
			defer func() { <-places }()
			s.client(conn)
		})
	}
}

// client has one exchange with a client.
func (s *Server) client(conn *net.UnixConn) {
	defer conn.Close()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("the control socket panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	s.enter(conn)
	defer s.leave(conn)
	var answer any
	err := s.checkPeer(conn)
	if err == nil {
		var r request
		from := &fileReader{UnixConn: conn}
		defer from.closeFiles()
		if r, err = readRequest(from); err == nil {
			r.files = from.files
			r.wait = func(patience time.Duration) { s.extend(conn, patience) }
			r.keep = from.keep
			r.waits = func() bool { return waits(conn) }
			answer, err = s.do(r)
		}
	}
	if t, ok := answer.(takeover); ok && err == nil {
		answer, err = nil, t(conn)
		if err == nil {
			return
		}
	}
	code := statusOK
	if err != nil {
		var p *problem
		if !errors.As(err, &p) {
			return // the client is gone, or too slow
		}
		code, answer = p.code, map[string]string{"error": p.text}
	}
	kind, body := encode(answer)
	if body == nil {
		code, body = statusInternal, []byte(`{"error":"the answer cannot be written as JSON"}`+"\n")
	}
	if writeAnswer(conn, code, kind, body) != nil || code == statusOK {
		return
	}
	// A client that is still sending would have the answer torn away by a reset: what it says is taken in, for as long as it may.
	conn.CloseWrite()
	io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
}

// picture is an answer that is a PNG.
type picture []byte

// text is an answer that is one.
type text []byte

// encode turns an answer into a body and its media type; nil where it cannot be written.
func encode(answer any) (kind string, body []byte) {
	switch a := answer.(type) {
	case picture:
		return "image/png", a
	case text:
		return "text/plain; charset=utf-8", a
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return "application/json", nil
	}
	return "application/json", append(body, '\n')
}

// checkPeer errs unless the client is a process of this user's, or root's.
func (s *Server) checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var perr error
	if err := raw.Control(func(fd uintptr) { peer, perr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if perr != nil {
		return perr
	}
	if peer.Uid != 0 && int(peer.Uid) != s.uid {
		return problemf(statusForbidden, "the machine belongs to another user")
	}
	return nil
}

// do finds the route of a request and follows it.
func (s *Server) do(r request) (any, error) {
	known := false
	for _, route := range routes {
		if route.path == r.path {
			known = true
			if route.method == r.method {
				return route.do(s, r)
			}
		}
	}
	if known {
		return nil, problemf(statusMethodNotAllowed, "%.16q is not possible here", r.method)
	}
	return nil, problemf(statusNotFound, "there is no such thing; GET /v1/openapi.json says what there is")
}

func (s *Server) status(request) (any, error) {
	status := s.machine.Status()
	status.ID, status.PID = s.id, s.pid
	return status, nil
}

func (s *Server) limits(request) (any, error) { return s.machine.Limits(), nil }

// screenshot draws the screen that the query names, the first without one.
func (s *Server) screenshot(r request) (any, error) {
	screen := 0
	if v := r.query.Get("screen"); v != "" {
		var err error
		if screen, err = strconv.Atoi(v); err != nil {
			return nil, problemf(statusBadRequest, "screen: %.16q is not a number", v)
		}
	}
	r.wait(picturePatience)
	var b bytes.Buffer
	if err := s.machine.Screenshot(screen, &b); err != nil {
		return nil, problemf(statusConflict, "%v", err)
	}
	return picture(b.Bytes()), nil
}

// waits reports whether the client at the other end still has its end open.
func waits(conn *net.UnixConn) (there bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		there = n > 0 || errors.Is(err, unix.EAGAIN)
	})
	return there && err == nil
}

// snapshotList names the files of a snapshot.
type snapshotList struct {
	Files []string `json:"files"`
	// PowerOff ends the machine when all is saved.
	PowerOff bool `json:"power_off,omitempty"`
	// Children take the places of the machine's disks, whose files then stay as they are.
	Children []Child `json:"children,omitempty"`
}

// Child is a new image that is based on what a disk of the machine has been so far.
type Child struct {
	Disk string `json:"disk"` // its address, "scsi0:0"
	Path string `json:"path"` // of the new image, absolute
	// Files are the files of the image and of all that it is based on: by their paths, absolute and clean, which one of the files that came along it is.
	Files map[string]string `json:"files"`
}

func (s *Server) snapshotFiles(request) (any, error) {
	return snapshotList{Files: s.machine.SnapshotFiles()}, nil
}

// snapshot saves the machine to the files that came along, which the body names in their order.
func (s *Server) snapshot(r request) (any, error) {
	var list snapshotList
	if err := json.Unmarshal(r.body, &list); err != nil {
		return nil, problemf(statusBadRequest, "%v", err)
	}
	if len(list.Files) != len(r.files) {
		return nil, problemf(statusBadRequest, "%d files are named and %d came along", len(list.Files), len(r.files))
	}
	files := make(map[string]*os.File, len(r.files))
	for i, name := range list.Files {
		if files[name] != nil {
			return nil, problemf(statusBadRequest, "the file %.32q is named twice", name)
		}
		files[name] = r.files[i]
	}
	r.wait(longPatience)
	s.change.Lock()
	defer s.change.Unlock()
	var off func() bool
	if list.PowerOff {
		off = r.waits // a machine whose state nobody puts into its place must not end
	}
	err := s.machine.SaveSnapshot(files, list.Children, off)
	r.keep(files)
	if err != nil {
		return nil, problemf(statusConflict, "%v", err)
	}
	return struct{}{}, nil
}

// replaceLimits puts the limits that the body names in force, and no others.
func (s *Server) replaceLimits(r request) (any, error) {
	s.change.Lock()
	defer s.change.Unlock()
	return s.setLimits(config.Limits{}, r.body)
}

// changeLimits puts the limits that the body names in force, beside the others.
func (s *Server) changeLimits(r request) (any, error) {
	s.change.Lock()
	defer s.change.Unlock()
	return s.setLimits(s.machine.Limits(), r.body)
}

func (s *Server) setLimits(l config.Limits, body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&l); err != nil {
		return nil, problemf(statusBadRequest, "%v", err)
	}
	if d.More() {
		return nil, problemf(statusBadRequest, "there is something behind the limits")
	}
	if err := s.machine.SetLimits(l); err != nil {
		return nil, problemf(statusConflict, "%v", err)
	}
	return s.machine.Limits(), nil
}
