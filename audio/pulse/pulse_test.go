package pulse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jfreymuth/pulse/proto"
	"go.uber.org/goleak"

	"github.com/sharevm/vmm/audio"
)

const streamIndex = 7

// server speaks as much of the native protocol, of its version 10, as a client that plays needs.
type server struct {
	t      *testing.T
	listen net.Listener

	mu      sync.Mutex
	changed *sync.Cond
	played  []byte
	calls   []uint32
	create  []byte // the request that made the stream
	deaf    bool   // it refuses streams
}

func newServer(t *testing.T) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "native")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listen: l}
	s.changed = sync.NewCond(&s.mu)
	t.Setenv("PULSE_SERVER", "{0123}unix:"+path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			s.serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return s
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	be := binary.BigEndian
	for {
		var head [20]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, be.Uint32(head[:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		s.mu.Lock()
		if channel := be.Uint32(head[4:]); channel != 0xffffffff {
			if channel == streamIndex {
				s.played = append(s.played, body...)
			}
			s.changed.Broadcast()
			s.mu.Unlock()
			continue
		}
		call, tag := be.Uint32(body[1:]), be.Uint32(body[6:])
		s.calls = append(s.calls, call)
		kind, values := uint32(proto.OpReply), []uint32(nil)
		switch call {
		case proto.OpAuth:
			values = []uint32{10}
		case proto.OpSetClientName:
			values = []uint32{3}
		case proto.OpCreatePlaybackStream:
			s.create = body[10:]
			values = []uint32{streamIndex, 1, 0, 100, 50, 50, 10}
			if s.deaf {
				kind, values = proto.OpError, []uint32{1}
			}
		}
		s.changed.Broadcast()
		s.mu.Unlock()
		answer := []byte{'L'}
		answer = be.AppendUint32(answer, kind)
		answer = be.AppendUint32(append(answer, 'L'), tag)
		for _, v := range values {
			answer = be.AppendUint32(append(answer, 'L'), v)
		}
		head = [20]byte{}
		be.PutUint32(head[:], uint32(len(answer)))
		be.PutUint32(head[4:], 0xffffffff)
		if _, err := c.Write(append(head[:], answer...)); err != nil {
			return
		}
	}
}

// await waits until the server has been asked for something.
func (s *server) await(call uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for _, c := range s.calls {
			if c == call {
				return
			}
		}
		s.changed.Wait()
	}
}

var format = audio.Format{Rate: 48000, Channels: 2, Bits: 16}

func TestPlay(t *testing.T) {
	s := newServer(t)
	b, err := Connect("a machine")
	if err != nil {
		t.Fatal(err)
	}
	st, err := b.Open(format)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range 50 {
		p := bytes.Repeat([]byte{byte(i), 1, 2, 3}, 17)
		want = append(want, p...)
		st.Write(p)
	}
	st.Close()
	s.await(proto.OpDeletePlaybackStream)
	if !bytes.Equal(s.played, want) {
		t.Errorf("%d bytes arrived, %d were played", len(s.played), len(want))
	}
	if spec := []byte{'a', proto.FormatInt16LE, 2, 0, 0, 0xbb, 0x80, 'm', 2, proto.ChannelFrontLeft, proto.ChannelFrontRight}; !bytes.HasPrefix(s.create, spec) {
		t.Errorf("asked for %x", s.create)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, goleak.IgnoreCurrent())
}

// TestRing fills a stream that nobody empties: the last samples are lost, and frames stay whole.
func TestRing(t *testing.T) {
	s := newStream(&Backend{}, format)
	odd := make([]byte, 4*1001)
	for range 100 {
		s.Write(odd)
	}
	if size := bytesIn(format, most); s.held != size {
		t.Errorf("%d bytes are held, %d have room", s.held, size)
	}
	if l := s.Latency(); l != most+ahead {
		t.Errorf("latency %v", l)
	}
	if n := len(s.take()); n != len(s.ring) {
		t.Errorf("took %d bytes", n)
	}
	s.Write(odd)
	s.Close()
	if n := len(s.take()); n != len(odd) {
		t.Errorf("took %d bytes", n)
	}
	if n := len(s.take()); n != 0 {
		t.Errorf("took %d bytes after the end", n)
	}
}

// TestLost has a server refuse a stream, and then go away.
func TestLost(t *testing.T) {
	s := newServer(t)
	s.deaf = true
	b, err := Connect("a machine")
	if err != nil {
		t.Fatal(err)
	}
	var all []audio.Stream
	for range maxStreams {
		st, err := b.Open(format)
		if err != nil {
			break // some have been refused and are gone
		}
		st.Write(make([]byte, 400))
		all = append(all, st)
	}
	s.await(proto.OpCreatePlaybackStream)
	for _, st := range all {
		st.Write(make([]byte, 400))
		st.Close()
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestMany(t *testing.T) {
	newServer(t)
	b, err := Connect("a machine")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range maxStreams {
		st, err := b.Open(format)
		if err != nil {
			t.Fatal(i, err)
		}
		if i%2 == 0 { // the others are left to the end
			defer st.Close()
		}
	}
	if _, err := b.Open(format); err == nil {
		t.Error("there is no bound")
	}
}

func TestAbsent(t *testing.T) {
	t.Setenv("PULSE_SERVER", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if _, err := Connect("a machine"); !errors.Is(err, ErrAbsent) {
		t.Errorf("no server: %v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if _, err := Connect("a machine"); !errors.Is(err, ErrAbsent) {
		t.Errorf("no folder: %v", err)
	}
}
