package pulse

import (
	"sync"
	"time"

	"github.com/jfreymuth/pulse/proto"

	"github.com/sharevm/vmm/audio"
)

const (
	// ahead is how much the server is asked to keep before it plays, which is what evens out the machine's pace.
	ahead = 60 * time.Millisecond
	// most is how much waits on our side of the socket: more is lost.
	most = 250 * time.Millisecond
	// queue is how much the server may keep: one that begins late has to hold what came meanwhile.
	queue  = time.Second
	volume = 0x10000 // as loud as the samples are
)

// stream is a sound of the machine. A goroutine of its own talks to the server.
type stream struct {
	b      *Backend
	format audio.Format
	buf    []byte // the goroutine's

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	ring    []byte
	first   int
	held    int // bytes in ring, from first on
	closed  bool
	dead    bool // the server does not play it
}

func newStream(b *Backend, f audio.Format) *stream {
	size := bytesIn(f, most)
	s := &stream{b: b, format: f, ring: make([]byte, size), buf: make([]byte, size)}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// bytesIn is how many bytes of whole frames last so long.
func bytesIn(f audio.Format, d time.Duration) int {
	return int(d*time.Duration(f.Rate)/time.Second) * f.Frame()
}

// Write implements audio.Stream.
func (s *stream) Write(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := len(s.ring) - s.held
	p = p[:min(len(p), room-room%s.format.Frame())]
	if len(p) == 0 || s.dead {
		return
	}
	at := (s.first + s.held) % len(s.ring)
	n := copy(s.ring[at:], p)
	copy(s.ring, p[n:])
	s.held += len(p)
	s.changed.Signal()
}

// Latency implements audio.Stream.
func (s *stream) Latency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.format.Duration(s.held) + ahead
}

// Close implements audio.Stream.
func (s *stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Signal()
}

// take waits for samples, and returns none when there will be no more.
func (s *stream) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held == 0 && !s.closed {
		s.changed.Wait()
	}
	n := min(s.held, len(s.ring)-s.first)
	copy(s.buf, s.ring[s.first:s.first+n])
	copy(s.buf[n:], s.ring[:s.held-n])
	n = s.held
	s.first, s.held = 0, 0
	return s.buf[:n]
}

// run plays the stream to its end. Errors end it early: it is silent then.
func (s *stream) run() {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dead = true
	}()
	reply := proto.CreatePlaybackStreamReply{}
	if s.b.client.Request(s.request(), &reply) != nil {
		return
	}
	for p := s.take(); len(p) > 0; p = s.take() {
		if s.b.client.Send(reply.StreamIndex, p) != nil {
			return
		}
	}
	// Of a sound shorter than what the server wants to keep, it has played nothing yet.
	_ = s.b.client.Request(&proto.DrainPlaybackStream{StreamIndex: reply.StreamIndex}, nil)
	_ = s.b.client.Request(&proto.DeletePlaybackStream{StreamIndex: reply.StreamIndex}, nil)
}

func (s *stream) request() *proto.CreatePlaybackStream {
	format, channels := byte(proto.FormatInt16LE), proto.ChannelMap{proto.ChannelMono}
	if s.format.Bits == 32 {
		format = proto.FormatInt32LE
	}
	if s.format.Channels == 2 {
		channels = proto.ChannelMap{proto.ChannelFrontLeft, proto.ChannelFrontRight}
	}
	r := &proto.CreatePlaybackStream{
		SampleSpec: proto.SampleSpec{Format: format, Channels: byte(s.format.Channels), Rate: uint32(s.format.Rate)},
		ChannelMap: channels, SinkIndex: proto.Undefined,
		BufferMaxLength:       uint32(bytesIn(s.format, queue)),
		BufferTargetLength:    uint32(bytesIn(s.format, ahead)),
		BufferPrebufferLength: uint32(bytesIn(s.format, ahead)), BufferMinimumRequest: uint32(bytesIn(s.format, ahead/4)),
		AdjustLatency: true,
		Properties:    proto.PropList{"media.name": proto.PropListString(s.b.name), "media.role": proto.PropListString("game")},
	}
	for range channels {
		r.ChannelVolumes = append(r.ChannelVolumes, volume)
	}
	return r
}
