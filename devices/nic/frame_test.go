package nic_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

// receiver is a card that hands over what it receives, once it has room.
type receiver struct {
	frames chan nic.Frame
	room   chan bool // answers to Receive
}

func (*receiver) Transmit() bool { return false }
func (*receiver) Flush()         {}
func (*receiver) Room() bool     { return true }
func (*receiver) LinkChanged()   {}
func (r *receiver) Receive(f *nic.Frame) bool {
	select {
	case ok := <-r.room:
		if !ok {
			return false
		}
	default:
	}
	g := *f
	g.Bytes = bytes.Clone(f.Bytes)
	r.frames <- g
	return true
}

func newReceiver(t testing.TB, l network.Link) (*receiver, *nic.Port) {
	t.Helper()
	r := &receiver{frames: make(chan nic.Frame, 64), room: make(chan bool, 64)}
	p, err := nic.NewPort(r, nic.Config{Name: "test", Link: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, p
}

func TestFrame(t *testing.T) {
	l := linktest.New(0)
	r, p := newReceiver(t, l)
	p.Start()
	take := func(h network.Header, frame []byte) nic.Frame {
		l.Deliver(h, frame)
		return <-r.frames
	}
	for _, k := range []nictest.Kind{{}, {UDP: true}, {V6: true}, {V6: true, UDP: true}, {VLAN: 9}, {V6: true, VLAN: 9}} {
		want := nictest.Frame(station, k, []byte("an odd payload, long enough."))
		f := take(network.Header{}, want)
		if !bytes.Equal(f.Bytes, want) || !f.SumGood || f.V4 == k.V6 || f.V6 != k.V6 || f.UDP != k.UDP || f.TCP == k.UDP || f.IPGood == k.V6 {
			t.Errorf("%+v: v4 %v v6 %v tcp %v udp %v, good %v %v, % x", k, f.V4, f.V6, f.TCP, f.UDP, f.IPGood, f.SumGood, f.Bytes)
		}
		if string(want[f.Payload:]) != "an odd payload, long enough." {
			t.Errorf("%+v: payload at %d", k, f.Payload)
		}
		if tag, ok := f.VLAN(0x8100); tag != k.VLAN || ok != (k.VLAN != 0) {
			t.Errorf("%+v: tag %d, %v", k, tag, ok)
		}
		bad := bytes.Clone(want)
		bad[len(bad)-1] ^= 1
		if f := take(network.Header{}, bad); f.SumGood {
			t.Errorf("%+v: a bad checksum is good", k)
		}
		if f := take(network.Header{Flags: network.FlagDataValid}, bad); !f.SumGood {
			t.Errorf("%+v: the link's word does not count", k)
		}
	}
	// What the link leaves open is finished.
	want := nictest.Frame(station, nictest.Kind{}, []byte("odd"))
	f := take(network.Header{Flags: network.FlagNeedsChecksum, CsumStart: 34, CsumOffset: 16}, open(want, nictest.Kind{}))
	if !bytes.Equal(f.Bytes, want) || !f.SumGood {
		t.Errorf("% x, want % x", f.Bytes, want)
	}
	header := bytes.Clone(want)
	header[24] ^= 1
	if f := take(network.Header{}, header); f.IPGood || f.SumGood {
		t.Error("a bad IP checksum is good")
	}
	fragment := bytes.Clone(want)
	fragment[20] = 0x20
	if f := take(network.Header{}, fragment); !f.Fragment || f.TCP || f.SumGood {
		t.Errorf("fragment: %v, tcp %v, good %v", f.Fragment, f.TCP, f.SumGood)
	}
	short := take(network.Header{}, want[:20])
	if len(short.Bytes) != 60 || short.V4 || !bytes.Equal(short.Bytes[20:], make([]byte, 40)) {
		t.Errorf("short frame: % x", short.Bytes)
	}
	// Frames that cannot be are dropped: the next one comes.
	l.Deliver(network.Header{Flags: network.FlagNeedsChecksum, CsumStart: 65000}, want)
	l.Deliver(network.Header{}, want[:13])
	if f := take(network.Header{}, want); !bytes.Equal(f.Bytes, want) {
		t.Error("another frame")
	}
	front, back := f.Pieces(false, true)
	whole := append(bytes.Clone(front), back...)
	if n := len(whole) - 4; binary.LittleEndian.Uint32(whole[n:]) != crc32.ChecksumIEEE(whole[:n]) {
		t.Error("bad CRC")
	}
}

// TestWaitsForRoom: a frame without room is not lost, not even over a stop.
func TestWaitsForRoom(t *testing.T) {
	l := linktest.New(0)
	r, p := newReceiver(t, l)
	for range 3 {
		r.room <- false
	}
	p.Start()
	want := nictest.Frame(station, nictest.Kind{}, []byte("first"))
	l.Deliver(network.Header{}, want)
	l.AwaitTaken(1)
	p.Stop()
	p.Start()
	for len(r.room) > 0 {
		p.KickReceive()
	}
	p.KickReceive()
	for len(r.frames) == 0 {
		p.KickReceive()
	}
	if f := <-r.frames; !bytes.Equal(f.Bytes, want) {
		t.Error("another frame")
	}
}

func TestCable(t *testing.T) {
	l := linktest.New(0)
	r, p := newReceiver(t, l)
	p.SetLink(false)
	p.Start()
	want := nictest.Frame(station, nictest.Kind{}, []byte("first"))
	l.Deliver(network.Header{}, want)
	l.AwaitTaken(1)
	p.Stop()
	p.SetLink(true)
	p.Start()
	want[6]++
	l.Deliver(network.Header{}, want)
	if f := <-r.frames; !bytes.Equal(f.Bytes, want) {
		t.Error("a frame came through an unplugged cable")
	}
	if s := p.Stats(); s.ReceiveDropped != 1 {
		t.Errorf("%+v", s)
	}
}

// TestHash holds the hash to the examples of the RSS specification (Microsoft, "Verifying the RSS Hash Calculation").
func TestHash(t *testing.T) {
	key := [nic.HashKeySize]byte{
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
		0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	}
	l := linktest.New(0)
	r, p := newReceiver(t, l)
	p.Start()
	for _, test := range []struct {
		from, to [4]byte
		ports    [2]uint16
		ip, tcp  uint32
	}{
		{[4]byte{66, 9, 149, 187}, [4]byte{161, 142, 100, 80}, [2]uint16{2794, 1766}, 0x323e8fc2, 0x51ccc178},
		{[4]byte{199, 92, 111, 2}, [4]byte{65, 69, 140, 83}, [2]uint16{14230, 4739}, 0xd718262a, 0xc626b0ea},
	} {
		frame := nictest.Frame(station, nictest.Kind{}, nil)
		copy(frame[26:], test.from[:])
		copy(frame[30:], test.to[:])
		binary.BigEndian.PutUint16(frame[34:], test.ports[0])
		binary.BigEndian.PutUint16(frame[36:], test.ports[1])
		l.Deliver(network.Header{}, frame)
		f := <-r.frames
		for want, kinds := range map[uint32]nic.HashKinds{test.ip: nic.HashIPv4, test.tcp: nic.HashIPv4 | nic.HashTCPv4, 0: nic.HashIPv6 | nic.HashTCPv6} {
			if got, _ := f.Hash(&key, kinds); got != want {
				t.Errorf("%v, kinds %b: %#x, want %#x", test.from, kinds, got, want)
			}
		}
	}
}
