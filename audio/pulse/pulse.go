// Package pulse plays sound through the user's sound server: PulseAudio, or PipeWire, which speaks PulseAudio's native protocol too. All goes
// through one socket that Connect opens; nothing else is opened afterwards.
package pulse

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jfreymuth/pulse/proto"

	"github.com/sharevm/vmm/audio"
)

const (
	// patience is how long the server may take for an answer, or to take samples off the socket.
	patience = 2 * time.Second
	// maxStreams bounds the streams that a guest can have at a time, those included that are being ended.
	maxStreams = 8
	cookieSize = 256
)

// ErrAbsent says that there is no sound server.
var ErrAbsent = errors.New("no sound server is running")

// Backend is a connection to a sound server.
type Backend struct {
	conn   net.Conn
	client *proto.Client
	name   string

	mu      sync.Mutex           // guards what follows
	streams map[*stream]struct{} // those whose goroutines run
	wg      sync.WaitGroup       // of these
}

// Connect connects to the user's sound server; name is the machine's, for its volume control. ErrAbsent is wrapped where there is none.
func Connect(name string) (*Backend, error) {
	path, err := socket()
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	b := &Backend{conn: conn, name: name, streams: make(map[*stream]struct{}), client: &proto.Client{Callback: func(any) {}}}
	b.client.SetTimeout(patience)
	b.client.Open(patient{conn})
	if err := b.introduce(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the sound server at %s: %w", path, err)
	}
	return b, nil
}

// socket is where the server listens.
func socket() (string, error) {
	for _, s := range strings.Fields(os.Getenv("PULSE_SERVER")) {
		if _, after, ok := strings.Cut(s, "}"); ok && strings.HasPrefix(s, "{") {
			s = after
		}
		if s = strings.TrimPrefix(s, "unix:"); filepath.IsAbs(s) {
			return s, nil
		}
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return "", fmt.Errorf("%w: neither PULSE_SERVER nor XDG_RUNTIME_DIR is set", ErrAbsent)
	}
	return filepath.Join(dir, "pulse", "native"), nil
}

// introduce tells the server who we are. It knows the user by the socket; the cookie is for those that do not.
func (b *Backend) introduce() error {
	var auth proto.AuthReply
	if err := b.client.Request(&proto.Auth{Version: b.client.Version(), Cookie: cookie()}, &auth); err != nil {
		return err
	}
	b.client.SetVersion(auth.Version)
	return b.client.Request(&proto.SetClientName{Props: proto.PropList{
		"application.name":       proto.PropListString("vmm"),
		"application.icon_name":  proto.PropListString("computer"),
		"application.process.id": proto.PropListString(fmt.Sprint(os.Getpid())),
	}}, &proto.SetClientNameReply{})
}

func cookie() []byte {
	path := os.Getenv("PULSE_COOKIE")
	if path == "" {
		path = filepath.Join(os.Getenv("HOME"), ".config", "pulse", "cookie")
	}
	c := make([]byte, cookieSize)
	if b, err := os.ReadFile(path); err == nil && len(b) == cookieSize {
		copy(c, b)
	}
	return c
}

// Open implements audio.Backend.
func (b *Backend) Open(f audio.Format) (audio.Stream, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.streams) == maxStreams {
		return nil, fmt.Errorf("pulse: more than %d streams", maxStreams)
	}
	s := newStream(b, f)
	b.streams[s] = struct{}{}
	b.wg.Go(func() {
		s.run()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.streams, s)
	})
	return s, nil
}

// Close implements audio.Backend. What has not been heard is not heard any more.
func (b *Backend) Close() error {
	err := b.conn.Close()
	b.mu.Lock()
	for s := range b.streams {
		s.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
	return err
}

// patient ends a connection whose server takes nothing.
type patient struct{ net.Conn }

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Write(b)
	if err != nil {
		p.Conn.Close()
	}
	return n, err
}
