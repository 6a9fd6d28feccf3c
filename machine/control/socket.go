package control

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Socket is the control socket of a machine in this process.
type Socket struct {
	id       string
	dir      string
	lock     *os.File
	listener *net.UnixListener
	server   *Server       // nil before Serve
	ended    chan struct{} // closed when the server has ended
}

// Open makes a machine's folder and socket below root, and removes what machines that are gone have left there. Clients wait until Serve.
func Open(root, name string) (_ *Socket, err error) {
	s := &Socket{}
	err = withRoot(root, func() error {
		running, err := sweep(root)
		if err != nil {
			return err
		}
		s.id = idOf(name)
		for i := 2; slices.Contains(running, s.id); i++ {
			s.id = fmt.Sprintf("%s-%d", idOf(name), i)
		}
		s.dir = filepath.Join(root, s.id)
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			return err
		}
		return s.fill()
	})
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return s, nil
}

// fill puts lock and socket into the folder.
func (s *Socket) fill() (err error) {
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, lockFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &os.PathError{Op: "lock", Path: s.lock.Name(), Err: err}
	}
	err = atAddress(s.dir, func(a *net.UnixAddr) (err error) {
		s.listener, err = net.ListenUnix("unix", a)
		return err
	})
	if err != nil {
		return err
	}
	s.listener.SetUnlinkOnClose(false) // its name may have been good for the moment only
	return os.Chmod(filepath.Join(s.dir, socketFile), 0o600)
}

// maxPath is how long a socket's name may be (unix(7)), its final zero left out.
const maxPath = 107

// atAddress runs f with the address of the socket in dir, which may be too long for one: then it goes by a descriptor of the folder.
func atAddress(dir string, f func(*net.UnixAddr) error) error {
	name := filepath.Join(dir, socketFile)
	if len(name) > maxPath {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		name = filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), socketFile)
	}
	return f(&net.UnixAddr{Name: name, Net: "unix"})
}

// ID is the machine's name among those that run.
func (s *Socket) ID() string { return s.id }

// Folder is where the socket is.
func (s *Socket) Folder() string { return s.dir }

// Serve answers clients from now on. log may be nil.
func (s *Socket) Serve(m Machine, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s.server = &Server{id: s.id, pid: os.Getpid(), uid: os.Geteuid(), machine: m, log: log, patience: patience, conns: make(map[*net.UnixConn]struct{})}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		s.server.serve(s.listener)
	}()
}

// Close ends the serving, with a moment for the clients that are there, and gives the lock back. Folder and socket are removed by whoever
// looks for machines next, or adds one: a sandbox keeps this process from it.
func (s *Socket) Close() error {
	if s.listener != nil {
		s.listener.Close()
	}
	if s.server != nil {
		s.server.closing()
		<-s.ended
	}
	if s.lock != nil {
		s.lock.Close()
	}
	return nil
}
