package network

import (
	"encoding/binary"
	"errors"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const everything = OffloadChecksum | OffloadTSO4 | OffloadTSO6 | OffloadECN | OffloadUFO

func TestHeaderBytes(t *testing.T) {
	h := Header{Flags: 1, GSOType: 0x81, HdrLen: 0x0203, GSOSize: 0x0405, CsumStart: 0x0607, CsumOffset: 0x0809, NumBuffers: 0x0a0b}
	var b [HeaderLen]byte
	h.Encode(b[:])
	if want := [HeaderLen]byte{1, 0x81, 3, 2, 5, 4, 7, 6, 9, 8, 0xb, 0xa}; b != want {
		t.Errorf("encoded % x, want % x", b, want)
	}
	if got := DecodeHeader(b[:]); got != h {
		t.Errorf("decoded %+v, want %+v", got, h)
	}
}

func TestHeaderCheck(t *testing.T) {
	csum := Header{Flags: FlagNeedsChecksum, CsumStart: 34, CsumOffset: 16}
	tso := csum
	tso.GSOType, tso.GSOSize, tso.HdrLen = GSOTCPv4, 1448, 66
	with := func(h Header, f func(*Header)) Header {
		f(&h)
		return h
	}
	for _, c := range []struct {
		name    string
		h       Header
		size    int
		allowed Offloads
		ok      bool
	}{
		{"plain", Header{}, 60, 0, true},
		{"plain, with a stale hint", Header{HdrLen: 9000, CsumStart: 9000}, 60, 0, true},
		{"shortest", Header{}, 14, 0, true},
		{"shorter than Ethernet", Header{}, 13, 0, false},
		{"negative", Header{}, -12, 0, false},
		{"longest", Header{}, MaxFrame - HeaderLen, 0, true},
		{"longer", Header{}, MaxFrame - HeaderLen + 1, 0, false},
		{"checksum", csum, 60, OffloadChecksum, true},
		{"checksum at the last bytes", csum, 52, OffloadChecksum, true},
		{"checksum past the end", csum, 51, OffloadChecksum, false},
		{"checksum not offered", csum, 60, OffloadTSO4, false},
		{"checksum in the Ethernet header", with(csum, func(h *Header) { h.CsumStart = 13 }), 60, everything, false},
		{"checksum offsets that wrap", with(csum, func(h *Header) { h.CsumStart, h.CsumOffset = 0xffff, 0xffff }), 60, everything, false},
		{"segments", tso, 9000, OffloadChecksum | OffloadTSO4, true},
		{"segments not offered", tso, 9000, OffloadChecksum | OffloadTSO6, false},
		{"segments with the checksum done", with(tso, func(h *Header) { h.Flags = 0 }), 9000, everything, false},
		{"segments of 0 bytes", with(tso, func(h *Header) { h.GSOSize = 0 }), 9000, everything, false},
		{"segments of a frame too short", tso, 53, everything, false},
		{"segments with endless headers", with(tso, func(h *Header) { h.HdrLen = 1025 }), 9000, everything, false},
		{"ECN", with(tso, func(h *Header) { h.GSOType |= GSOECN }), 9000, everything, true},
		{"ECN not offered", with(tso, func(h *Header) { h.GSOType |= GSOECN }), 9000, OffloadChecksum | OffloadTSO4, false},
		{"ECN alone", with(tso, func(h *Header) { h.GSOType = GSOECN }), 9000, everything, false},
		{"IPv6", with(tso, func(h *Header) { h.GSOType = GSOTCPv6 }), 9000, OffloadChecksum | OffloadTSO6, true},
		{"IPv6 too short", with(tso, func(h *Header) { h.GSOType = GSOTCPv6 }), 73, everything, false},
		{"UDP", with(tso, func(h *Header) { h.GSOType = GSOUDP }), 9000, everything, true},
		{"UDP not offered", with(tso, func(h *Header) { h.GSOType = GSOUDP }), 9000, everything &^ OffloadUFO, false},
		{"unknown kind", with(tso, func(h *Header) { h.GSOType = 5 }), 9000, everything, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.h.Check(c.size, c.allowed)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrHeader) {
				t.Errorf("%+v, %d bytes: %v", c.h, c.size, err)
			}
		})
	}
}

// tcpFrame makes an Ethernet frame with a TCP segment over IPv4; its TCP checksum is right.
func tcpFrame(payload int) []byte {
	frame := make([]byte, 14+20+20+payload)
	for i := range frame {
		frame[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint16(frame[12:], etherTypeIPv4)
	ip := header.IPv4(frame[14:])
	src, dst := tcpip.AddrFrom4([4]byte{10, 0, 2, 15}), tcpip.AddrFrom4([4]byte{192, 0, 2, 1})
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip)), TTL: 64, Protocol: protoTCP, SrcAddr: src, DstAddr: dst})
	ip.SetChecksum(^ip.CalculateChecksum())
	tcp := header.TCP(ip[20:])
	tcp.Encode(&header.TCPFields{SrcPort: 1, DstPort: 2, DataOffset: 20})
	sum := header.PseudoHeaderChecksum(protoTCP, src, dst, uint16(len(tcp)))
	tcp.SetChecksum(^Fold(SumBytes(uint64(sum), tcp)))
	return frame
}

func TestChecksums(t *testing.T) {
	for _, payload := range []int{0, 1, 2, 31, 32, 33, 1459, 1460, 65000} {
		frame := tcpFrame(payload)
		if !ValidChecksums(frame) {
			t.Fatalf("payload of %d: a right checksum is called wrong", payload)
		}
		finished := binary.BigEndian.Uint16(frame[50:])
		// As a guest leaves it: the field holds the sum of the pseudo header.
		ip := header.IPv4(frame[14:])
		open := header.PseudoHeaderChecksum(protoTCP, ip.SourceAddress(), ip.DestinationAddress(), uint16(20+payload))
		binary.BigEndian.PutUint16(frame[50:], open)
		h := Header{Flags: FlagNeedsChecksum, CsumStart: 34, CsumOffset: 16}
		if err := CompleteChecksum(frame, &h); err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint16(frame[50:]); got != finished || h.Flags != 0 {
			t.Errorf("payload of %d: completed to %#x, want %#x", payload, got, finished)
		}
		for _, at := range []int{15, 33, 34, 53, len(frame) - 1} {
			frame[at] ^= 1
			if ValidChecksums(frame) {
				t.Errorf("payload of %d: byte %d is wrong and nobody sees it", payload, at)
			}
			frame[at] ^= 1
		}
	}
}

// A UDP checksum of zero says that there is none; a sum that comes to zero is sent as its complement.
func TestChecksumZero(t *testing.T) {
	frame := make([]byte, 14+20+8)
	h := Header{Flags: FlagNeedsChecksum, CsumStart: 34, CsumOffset: 6}
	frame[34], frame[35] = 0xff, 0xff
	if err := CompleteChecksum(frame, &h); err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint16(frame[40:]); got != 0xffff {
		t.Errorf("completed to %#x, want 0xffff", got)
	}
}

func TestCopyHeader(t *testing.T) {
	whole := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for cut := range whole {
		var h [HeaderLen]byte
		if !CopyHeader(&h, [][]byte{whole[:cut], nil, whole[cut:]}) || string(h[:]) != string(whole[:HeaderLen]) {
			t.Errorf("cut at %d: % x", cut, h)
		}
	}
	var h [HeaderLen]byte
	if CopyHeader(&h, [][]byte{whole[:5], whole[:6]}) {
		t.Error("11 bytes make a header")
	}
}

func TestScatter(t *testing.T) {
	a, b, c := make([]byte, 3), make([]byte, 0), make([]byte, 4)
	s := ScatterTo([][]byte{a, b, c})
	s.Skip(1)
	if n := s.Write([]byte{1, 2, 3}); n != 3 {
		t.Fatalf("wrote %d of 3", n)
	}
	s.Skip(1)
	if n := s.Write([]byte{4, 5, 6, 7}); n != 2 {
		t.Fatalf("wrote %d where 2 fit", n)
	}
	if string(a) != "\x00\x01\x02" || string(c) != "\x03\x00\x04\x05" {
		t.Fatalf("% x, % x", a, c)
	}
}

func FuzzHeader(f *testing.F) {
	var b [HeaderLen]byte
	f.Add(b[:], tcpFrame(10), uint32(everything))
	Header{Flags: FlagNeedsChecksum, GSOType: GSOTCPv4, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}.Encode(b[:])
	f.Add(append([]byte(nil), b[:]...), tcpFrame(3000), uint32(everything))
	f.Fuzz(func(t *testing.T, raw, frame []byte, allowed uint32) {
		ValidChecksums(frame)
		if len(raw) < HeaderLen {
			return
		}
		h := DecodeHeader(raw)
		var again [HeaderLen]byte
		h.Encode(again[:])
		if string(again[:]) != string(raw[:HeaderLen]) {
			t.Fatalf("% x becomes % x", raw[:HeaderLen], again)
		}
		err := h.Check(len(frame), Offloads(allowed))
		if cerr := CompleteChecksum(frame, &h); err == nil && cerr != nil {
			t.Fatalf("checked, but not completed: %v", cerr)
		}
	})
}

func BenchmarkValidChecksums(b *testing.B) {
	frame := tcpFrame(1460)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if !ValidChecksums(frame) {
			b.Fatal("wrong")
		}
	}
}
