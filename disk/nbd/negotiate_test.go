package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func knock(t *testing.T, path string) net.Conn {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// closed fails the test unless the server has closed the connection.
func closed(t *testing.T, nc net.Conn) {
	t.Helper()
	if p, err := io.ReadAll(nc); err != nil && !strings.Contains(err.Error(), "reset") || len(p) > 0 {
		t.Errorf("got %x, %v instead of the end of the connection", p, err)
	}
}

func metaQuery(name string, queries ...string) []byte {
	b := append(str(name), u32(uint32(len(queries)))...)
	for _, q := range queries {
		b = append(b, str(q)...)
	}
	return b
}

// TestOptions sends options one after the other on one connection, which outlives all errors.
func TestOptions(t *testing.T) {
	_, path := serve(t, Export{Name: "disk", Description: "a disk", Image: newFake(10000)}, Options{})
	nc := knock(t, path)
	if err := hello(nc, 1); err != nil {
		t.Fatal(err)
	}
	base, depth := "base:allocation", "qemu:allocation-depth"
	for _, c := range []struct {
		opt  uint32
		data []byte
		want string
	}{
		{77, []byte("what?"), "unsup"},
		{5, nil, "unsup"}, // STARTTLS
		{77, make([]byte, 100<<10), "too big"},
		{optList, nil, "server(disk) ack"},
		{optList, []byte{0}, "invalid"},
		{optSetMetaContext, metaQuery("disk", base), "invalid"}, // before structured replies
		{optListMetaContext, metaQuery("disk"), "context(0 " + base + ") context(0 " + depth + ") ack"},
		{optListMetaContext, metaQuery("", "base:"), "context(0 " + base + ") ack"},
		{optListMetaContext, metaQuery("", "qemu:", "base:nonsense"), "context(0 " + depth + ") ack"},
		{optListMetaContext, metaQuery("disk", "x-other:thing", base), "context(0 " + base + ") ack"},
		{optListMetaContext, metaQuery("disc"), "unknown"},
		{optListMetaContext, str("disk"), "invalid"},
		{optStructuredReply, []byte{1}, "invalid"},
		{optStructuredReply, nil, "ack"},
		{optStructuredReply, nil, "ack"},
		{optSetMetaContext, metaQuery("disk", "base:", "qemu:"), "ack"},
		{optSetMetaContext, metaQuery("disk"), "ack"},
		{optSetMetaContext, metaQuery("disk", depth, base, base), "context(1 " + base + ") context(2 " + depth + ") ack"},
		{optSetMetaContext, metaQuery("disc", base), "unknown"},
		{optSetMetaContext, append(metaQuery("disk", base), 0), "invalid"},
		{optSetMetaContext, join(str("disk"), u32(1<<32-1)), "invalid"},
		{optSetMetaContext, join(str("disk"), u32(1), u32(1<<32-1)), "invalid"},
		{optInfo, join(str("disk"), u16(0)), "info(10000) ack"},
		{optInfo, join(str(""), u16(5), u16(infoName), u16(infoDescription), u16(infoBlockSize), u16(infoExport), u16(999)),
			"info(10000) name(disk) description(a disk) sizes(1 8192 33554432) ack"},
		{optInfo, join(str("disc"), u16(0)), "unknown"},
		{optInfo, join(str("disk\x00"), u16(0)), "invalid"},
		{optInfo, join(str("\xff"), u16(0)), "invalid"},
		{optInfo, join(str(strings.Repeat("x", maxString+1)), u16(0)), "invalid"},
		{optInfo, join(str("disk"), u16(0), []byte{1}), "invalid"},
		{optInfo, join(str("disk"), u16(2), u16(1)), "invalid"},
		{optGo, nil, "invalid"},
		{optGo, u32(1<<32 - 1), "invalid"},
		{optGo, join(str("disc"), u16(0)), "unknown"},
		{optGo, join(str("disk"), u16(0)), "info(10000) ack"},
	} {
		replies, err := option(nc, c.opt, c.data)
		var got []string
		for _, r := range replies {
			got = append(got, r.String())
		}
		if s := strings.Join(got, " "); s != c.want || err != nil {
			t.Fatalf("option %d with %.40q: %s, want %s (%v)", c.opt, c.data, s, c.want, err)
		}
	}
}

// String tells a reply as tests write it.
func (r optionReply) String() string {
	switch r.kind {
	case repAck:
		return "ack"
	case repServer:
		return fmt.Sprintf("server(%s)", r.data[4:])
	case repMetaContext:
		return fmt.Sprintf("context(%d %s)", binary.BigEndian.Uint32(r.data), r.data[4:])
	case repInfo:
		switch p := r.data[2:]; binary.BigEndian.Uint16(r.data) {
		case infoExport:
			return fmt.Sprintf("info(%d)", binary.BigEndian.Uint64(p))
		case infoName:
			return fmt.Sprintf("name(%s)", p)
		case infoDescription:
			return fmt.Sprintf("description(%s)", p)
		case infoBlockSize:
			return fmt.Sprintf("sizes(%d %d %d)", binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:]))
		}
	case repErrUnsup:
		return "unsup"
	case repErrInvalid:
		return "invalid"
	case repErrUnknown:
		return "unknown"
	case repErrTooBig:
		return "too big"
	}
	return fmt.Sprintf("%#x", r.kind)
}

// TestHandshakeEnds has clients that the server has to get rid of.
func TestHandshakeEnds(t *testing.T) {
	_, path := serve(t, Export{Name: "disk", Image: newFake(1000)}, Options{})
	opt := func(n uint32, data []byte) []byte {
		return join([]byte("IHAVEOPT"), u32(n), u32(uint32(len(data))), data)
	}
	for name, sent := range map[string][]byte{
		"unknown flags":  u32(4),
		"bad magic":      append(u32(3), "IHAVENOTHING AT ALL"...),
		"huge option":    join(u32(3), []byte("IHAVEOPT"), u32(99), u32(maxSkip+1)),
		"unknown export": append(u32(3), opt(optExportName, []byte("disc"))...),
		"huge name":      append(u32(3), opt(optExportName, make([]byte, maxOption+1))...),
		"abort":          append(u32(3), opt(optAbort, []byte("sorry"))...),
		"no end":         append(u32(3), bytes.Repeat(opt(optAbort+90, nil), maxOptions+1)...),
	} {
		t.Run(name, func(t *testing.T) {
			nc := knock(t, path)
			var greeting [18]byte
			if _, err := io.ReadFull(nc, greeting[:]); err != nil {
				t.Fatal(err)
			}
			go nc.Write(sent) // the server may not take all of it
			switch name {
			case "abort":
				var reply [20]byte
				if _, err := io.ReadFull(nc, reply[:]); err != nil || binary.BigEndian.Uint32(reply[12:]) != repAck {
					t.Errorf("reply %x, %v", reply, err)
				}
			case "no end":
				if _, err := io.CopyN(io.Discard, nc, maxOptions*(20+int64(len("no such option here")))); err != nil {
					t.Error(err)
				}
			}
			closed(t, nc)
		})
	}
}

// TestExportName checks the reply to the option that old clients end with.
func TestExportName(t *testing.T) {
	_, path := serve(t, Export{Name: "disk", Image: newFake(1000)}, Options{})
	for flags, zeroes := range map[uint32]int{0: 124, 1: 124, 3: 0} {
		nc := knock(t, path)
		if err := hello(nc, flags); err != nil {
			t.Fatal(err)
		}
		// What comes after the reply shows how long that is.
		if _, err := nc.Write(join([]byte("IHAVEOPT"), u32(optExportName), str("disk"), encode(request{kind: cmdFlush, cookie: 5}))); err != nil {
			t.Fatal(err)
		}
		want := join(u64(1000), u16(flagHasFlags|flagFlush|flagFUA|flagMultiConn|flagCache|flagTrim|flagWriteZeroes|flagFastZero),
			make([]byte, zeroes), u32(magicSimpleReply), u32(0), u64(5))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("client flags %d: %x, want %x (%v)", flags, got, want, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		_, path := serve(t, Export{Image: newFake(1000), ReadOnly: readOnly}, Options{})
		for _, simple := range []bool{false, true} {
			want := uint16(flagHasFlags | flagFlush | flagFUA | flagMultiConn | flagCache)
			if readOnly {
				want |= flagReadOnly
			} else {
				want |= flagTrim | flagWriteZeroes | flagFastZero
			}
			if !simple {
				want |= flagDontFragment
			}
			if c := dial(t, path, setup{simple: simple}); c.flags != want || c.size != 1000 {
				t.Errorf("read-only %v, simple %v: flags %#x, want %#x; size %d", readOnly, simple, c.flags, want, c.size)
			}
		}
	}
}

// TestHandshakeTime has a client that says nothing.
func TestHandshakeTime(t *testing.T) {
	_, path := serve(t, Export{Image: newFake(1000)}, Options{Handshake: 20 * time.Millisecond})
	silent := knock(t, path)
	patient := dial(t, path, setup{})
	if _, err := io.CopyN(io.Discard, silent, 18); err != nil {
		t.Fatal(err)
	}
	closed(t, silent)
	if _, err := patient.do(cmdRead, 0, 0, 10, nil); err != nil {
		t.Errorf("a client past the handshake: %v", err)
	}
}

func TestMaxConnections(t *testing.T) {
	s, path := serve(t, Export{Image: newFake(1000)}, Options{MaxConnections: 2})
	first, second := dial(t, path, setup{}), dial(t, path, setup{})
	closed(t, knock(t, path))
	select {
	case <-s.Idle():
		t.Error("idle with clients")
	default:
	}
	if err := errors.Join(first.close(), second.close()); err != nil {
		t.Fatal(err)
	}
	<-s.Idle()
	if _, err := dial(t, path, setup{}).do(cmdRead, 0, 0, 10, nil); err != nil {
		t.Errorf("after others left: %v", err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"\xff", "a\x00b", strings.Repeat("x", maxString+1)} {
		if _, err := NewServer(Export{Name: name, Image: newFake(1)}, Options{}); err == nil {
			t.Errorf("name %.10q is taken", name)
		}
		if _, err := NewServer(Export{Description: name, Image: newFake(1)}, Options{}); err == nil {
			t.Errorf("description %.10q is taken", name)
		}
	}
}
