package nic_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

const (
	tso4 = network.OffloadChecksum | network.OffloadTSO4 | network.OffloadECN
	tso6 = network.OffloadChecksum | network.OffloadTSO6 | network.OffloadECN
)

var station = [6]byte{2, 0, 0, 0, 0, 1}

// sender is a card that sends what it is given.
type sender struct {
	port   *nic.Port
	frames chan work
}

type work struct {
	bufs [][]byte
	o    nic.Offload
}

func (s *sender) Transmit() bool {
	select {
	case w := <-s.frames:
		s.port.Send(w.bufs, &w.o)
		return true
	default:
		return false
	}
}
func (*sender) Flush()                  {}
func (*sender) Room() bool              { return false }
func (*sender) Receive(*nic.Frame) bool { return true }
func (*sender) LinkChanged()            {}

func newSender(t testing.TB, l network.Link) *sender {
	t.Helper()
	s := &sender{frames: make(chan work, 64)}
	var err error
	if s.port, err = nic.NewPort(s, nic.Config{Name: "test", Link: l}); err != nil {
		t.Fatal(err)
	}
	s.port.Start()
	t.Cleanup(func() {
		if err := s.port.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *sender) send(bufs [][]byte, o nic.Offload) {
	s.frames <- work{bufs, o}
	s.port.KickTransmit()
}

// pieces cuts b after the given lengths.
func pieces(b []byte, at ...int) (out [][]byte) {
	for _, n := range at {
		n = min(n, len(b))
		out = append(out, b[:n:n])
		b = b[n:]
	}
	return append(out, b)
}

// tagged returns the frame with a VLAN tag put in.
func tagged(frame []byte, tag uint16) []byte {
	out := append(bytes.Clone(frame[:12]), 0x81, 0, byte(tag>>8), byte(tag))
	return append(out, frame[12:]...)
}

// places are where the headers of a frame without tag are.
func places(k nictest.Kind) (ip, transport, sum, payload int) {
	ip, transport = 14, 34
	if k.V6 {
		transport = 54
	}
	if k.UDP {
		return ip, transport, transport + 6, transport + 8
	}
	return ip, transport, transport + 16, transport + 32
}

// open replaces a frame's transport checksum by the sum of the pseudo header.
func open(frame []byte, k nictest.Kind) []byte {
	frame = bytes.Clone(frame)
	_, transport, at, _ := places(k)
	sum := network.SumBytes(0, frame[26:34])
	if k.V6 {
		sum = network.SumBytes(0, frame[22:54])
	}
	proto := uint64(6)
	if k.UDP {
		proto = 17
	}
	binary.BigEndian.PutUint16(frame[at:], network.Fold(sum+proto+uint64(len(frame)-transport)))
	return frame
}

// TestChecksums leaves the checksums of a frame to the port, over links that take them and over such that do not.
func TestChecksums(t *testing.T) {
	for _, offers := range []network.Offloads{0, network.OffloadChecksum} {
		for _, k := range []nictest.Kind{{}, {UDP: true}, {V6: true}, {V6: true, UDP: true}} {
			for _, tag := range []uint16{0, 5} {
				for _, withIP := range []bool{false, true} {
					for _, explicit := range []bool{false, true} {
						name := fmt.Sprintf("offers=%d %+v tag=%d ip=%v end=%v", offers, k, tag, withIP, explicit)
						if k.V6 && withIP {
							continue
						}
						l := linktest.New(offers)
						s := newSender(t, l)
						want := nictest.Frame(station, k, []byte("something of odd length"))
						frame := open(want, k)
						ip, transport, at, _ := places(k)
						o := nic.Offload{Sum: true, SumStart: transport, SumAt: at, InsertTag: tag != 0, Tag: tag}
						if explicit {
							o.SumEnd = len(frame)
						}
						if withIP {
							frame[ip+10], frame[ip+11] = 0, 0
							o.IPSum, o.IPStart, o.IPAt, o.IPEnd = true, ip, ip+10, transport
						}
						given := bytes.Clone(frame)
						s.send(pieces(frame, 10, 7, 30), o)
						got := l.Sent(1)[0]
						h := network.DecodeHeader(got)
						got = got[network.HeaderLen:]
						if open := h.Flags&network.FlagNeedsChecksum != 0; open != (offers != 0) {
							t.Errorf("%s: checksum left open: %v", name, open)
						}
						if err := h.Check(len(got), offers); err != nil {
							t.Errorf("%s: %v", name, err)
						}
						if err := network.CompleteChecksum(got, &h); err != nil {
							t.Errorf("%s: %v", name, err)
						}
						if tag != 0 {
							want = tagged(want, tag)
						}
						if !bytes.Equal(got, want) {
							t.Errorf("%s:\n% x, want\n% x", name, got, want)
						}
						if !bytes.Equal(frame, given) {
							t.Errorf("%s: the guest's memory has changed", name)
						}
					}
				}
			}
		}
	}
}

// TestSegments has the port cut frames, where the link does it and where not, and puts what comes out together again.
func TestSegments(t *testing.T) {
	payload := make([]byte, 10_001)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	for _, k := range []nictest.Kind{{}, {V6: true}} {
		for _, offers := range []network.Offloads{0, tso4, tso6, tso4 &^ network.OffloadECN} {
			for _, tag := range []uint16{0, 7} {
				for _, derive := range []bool{false, true} {
					name := fmt.Sprintf("%+v offers=%b tag=%d derive=%v", k, offers, tag, derive)
					l := linktest.New(offers)
					s := newSender(t, l)
					frame := nictest.Frame(station, k, payload)
					ip, transport, _, start := places(k)
					if k.V6 {
						frame[ip+4], frame[ip+5] = 0, 0
					} else {
						frame[ip+2], frame[ip+3], frame[ip+10], frame[ip+11] = 0, 0, 0, 0
					}
					o := nic.Offload{Sum: true, SumStart: transport, Segment: 1400, HeaderLen: start, InsertTag: tag != 0, Tag: tag}
					if derive {
						o.SumStart = 0
					}
					s.send(pieces(frame, 60, 5000), o)
					kind := byte(network.GSOTCPv4 | network.GSOECN)
					need := tso4
					if k.V6 {
						kind, need = network.GSOTCPv6|network.GSOECN, tso6
					}
					if offers&need == need {
						got := l.Sent(1)[0]
						h := network.DecodeHeader(got)
						got = got[network.HeaderLen:]
						if err := h.Check(len(got), offers); err != nil || h.GSOType != kind || h.GSOSize != 1400 {
							t.Errorf("%s: %+v, %v", name, h, err)
						}
						if err := network.CompleteChecksum(got, &h); err != nil {
							t.Errorf("%s: %v", name, err)
						}
						want := nictest.Frame(station, k, payload)
						if tag != 0 {
							want = tagged(want, tag)
						}
						if !bytes.Equal(got, want) {
							t.Errorf("%s: another frame", name)
						}
						continue
					}
					checkSegments(t, name, l.Sent(8)[:8], k, tag, payload)
				}
			}
		}
	}
}

func checkSegments(t *testing.T, name string, frames [][]byte, k nictest.Kind, tag uint16, payload []byte) {
	t.Helper()
	_, transport, _, start := places(k)
	var whole []byte
	for i, f := range frames {
		if h := network.DecodeHeader(f); h != (network.Header{}) {
			t.Errorf("%s: segment %d has the header %+v", name, i, h)
		}
		f = f[network.HeaderLen:]
		if tag != 0 {
			if f[12] != 0x81 || f[15] != byte(tag) {
				t.Errorf("%s: segment %d has no tag", name, i)
			}
			f = append(bytes.Clone(f[:12]), f[16:]...)
		}
		if !network.ValidChecksums(f) {
			t.Errorf("%s: segment %d has bad checksums", name, i)
		}
		tcp := f[transport:]
		if seq := binary.BigEndian.Uint32(tcp[4:]); seq != 1000+uint32(len(whole)) {
			t.Errorf("%s: segment %d has sequence number %d", name, i, seq)
		}
		want := byte(0x10) // ACK
		if i == 0 {
			want |= 0x80
		}
		if i == len(frames)-1 {
			want |= 0x09
		}
		if tcp[13] != want {
			t.Errorf("%s: segment %d has the flags %#x, want %#x", name, i, tcp[13], want)
		}
		if id := binary.BigEndian.Uint16(f[18:]); !k.V6 && id != 77+uint16(i) {
			t.Errorf("%s: segment %d has the identity %d", name, i, id)
		}
		whole = append(whole, f[start:]...)
	}
	if !bytes.Equal(whole, payload) {
		t.Errorf("%s: the segments hold %d bytes, or others", name, len(whole))
	}
}

// TestHostileOffloads asks for places and lengths that are none. Nothing may panic, and the next frame goes out.
func TestHostileOffloads(t *testing.T) {
	places := []int{0, 1, 13, 14, 15, 34, 54, 59, 60, 61, 255, 256, 300, 1022, 1023, 65535}
	for _, offers := range []network.Offloads{0, tso4 | tso6} {
		l := linktest.New(offers)
		l.Discard()
		s := newSender(t, l)
		for _, k := range []nictest.Kind{{}, {V6: true}, {VLAN: 3}} {
			for _, size := range []int{0, 1, 14, 33, 34, 54, 60, 70, 300, 65500, 70000} {
				frame := nictest.Frame(station, k, make([]byte, 100))
				frame = append(frame, make([]byte, 70000)...)[:size]
				for range 400 {
					pick := func() int { return places[rand.IntN(len(places))] }
					o := nic.Offload{
						InsertTag: rand.IntN(2) == 0, IPSum: rand.IntN(2) == 0, IPStart: pick(), IPAt: pick(), IPEnd: pick(),
						Sum: rand.IntN(2) == 0, SumStart: pick(), SumAt: pick(), SumEnd: pick(), HeaderLen: pick(),
					}
					if rand.IntN(2) == 0 {
						o.Segment = pick()
					}
					s.send(pieces(frame, rand.IntN(100)), o)
				}
			}
		}
		// A packet that lies about itself: header lengths of 60 bytes, IP options, odd offsets.
		for range 3000 {
			frame := nictest.Frame(station, nictest.Kind{V6: rand.IntN(2) == 0}, make([]byte, 300))
			for range 3 {
				frame[12+rand.IntN(50)] = byte(rand.Uint32())
			}
			s.send(pieces(frame), nic.Offload{Segment: 32 + rand.IntN(100), HeaderLen: 40 + rand.IntN(100), SumStart: rand.IntN(80)})
		}
		before := s.port.Stats().Sent
		s.send(pieces(nictest.Frame(station, nictest.Kind{}, nil)), nic.Offload{})
		for s.port.Stats().Sent == before && s.port.LinkUp() {
			s.port.KickTransmit()
		}
		if !s.port.LinkUp() {
			t.Error("the port has given up")
		}
	}
}

// TestPanickingLink: a bug in a link takes the carrier away, not the process.
func TestPanickingLink(t *testing.T) {
	l := linktest.New(0)
	l.Panic(true)
	s := newSender(t, l)
	s.send(pieces(nictest.Frame(station, nictest.Kind{}, nil)), nic.Offload{})
	for s.port.LinkUp() {
		s.port.KickTransmit()
	}
}
