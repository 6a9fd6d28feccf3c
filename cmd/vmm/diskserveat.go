package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// exportAddress says where vmm disk serve listens.
type exportAddress struct {
	socket   string
	tcp      string
	anywhere bool
}

// check refuses addresses that make no sense, and those that other hosts can reach, unless that is wanted.
func (a *exportAddress) check() error {
	if a.tcp == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(a.tcp)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if a.anywhere || host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen %s: other hosts could reach it, and NBD asks for no password; --listen-anywhere allows it", a.tcp)
	}
	return nil
}

// listen opens the socket; image is the path of what is served.
func (a *exportAddress) listen(image string) (net.Listener, error) {
	if a.tcp != "" {
		return net.Listen("tcp", a.tcp)
	}
	path := a.socket
	if path == "" {
		path = defaultSocket(image)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return listenUnix(path)
}

// defaultSocket is named after the image, in $XDG_RUNTIME_DIR or in the image's folder.
func defaultSocket(image string) string {
	name := filepath.Base(image) + ".nbd"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "vmm-"+name)
	}
	return filepath.Join(filepath.Dir(image), name)
}

// unixListener removes its socket at the end, unless it is another one by then.
type unixListener struct {
	net.Listener
	path string
	self fs.FileInfo
}

// listenUnix makes a socket that only its owner can connect to. In the place of a socket that nobody listens on any more it puts its
// own; anything else that has the name is left alone.
func listenUnix(path string) (net.Listener, error) {
	const longest = len(unix.RawSockaddrUnix{}.Path) - 1
	if len(path) > longest {
		return nil, fmt.Errorf("%s: too long for a Unix socket, whose name has at most %d bytes; --socket names another", path, longest)
	}
	// Two programs that start at the same moment must not take away each other's socket.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return nil, &fs.PathError{Op: "lock", Path: dir.Name(), Err: err}
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode has to be there when the name appears.
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	self, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &unixListener{l, path, self}, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return &fs.PathError{Op: "listen", Path: path, Err: fs.ErrExist}
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: another program is serving there; --socket names another place", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Close implements [net.Listener].
func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if st, e := os.Lstat(l.path); e == nil && os.SameFile(st, l.self) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// exportURI is the address as clients want it (the NBD project's doc/uri.md).
func exportURI(at net.Addr, name string) string {
	u := url.URL{Scheme: "nbd", Host: at.String(), Path: "/" + name}
	if at.Network() != "unix" {
		return u.String()
	}
	socket := strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(at.String()))
	return "nbd+unix://" + u.EscapedPath() + "?socket=" + socket
}
