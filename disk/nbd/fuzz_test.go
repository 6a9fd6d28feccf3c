package nbd

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
)

// script is a connection whose client has said everything it will ever say.
type script struct {
	in  io.Reader
	mu  sync.Mutex
	out int // bytes sent to the client
}

func (s *script) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out += len(p); s.out > 64<<20 {
		return 0, os.ErrDeadlineExceeded // a client that has heard enough
	}
	return len(p), nil
}

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "fuzz", Net: "unix"} }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// guarded fails the test when the server asks the image for what it cannot have.
type guarded struct {
	striped
	t        *testing.T
	readOnly bool
}

func (g guarded) check(off, n int64, changes bool) {
	if err := disk.CheckRange(g.Size(), off, n); err != nil {
		g.t.Error(err)
	}
	if changes && g.readOnly {
		g.t.Error("a write to a read-only export")
	}
}

func (g guarded) ReadAt(p []byte, off int64) (int, error) {
	g.check(off, int64(len(p)), false)
	return g.striped.ReadAt(p, off)
}

func (g guarded) WriteAt(p []byte, off int64) (int, error) {
	g.check(off, int64(len(p)), true)
	return g.striped.WriteAt(p, off)
}

func (g guarded) WriteZeroes(off, n int64, unmap bool) error {
	g.check(off, n, true)
	return g.striped.WriteZeroes(off, n, unmap)
}

func (g guarded) Discard(off, n int64) error {
	g.check(off, n, true)
	return g.striped.Discard(off, n)
}

func (g guarded) Extents(off, n int64, yield func(disk.Extent) bool) error {
	g.check(off, n, false)
	return g.striped.Extents(off, n, yield)
}

// FuzzServer has a client say anything, from the first byte on.
func FuzzServer(f *testing.F) {
	opt := func(n uint32, data []byte) []byte {
		return join([]byte("IHAVEOPT"), u32(n), u32(uint32(len(data))), data)
	}
	start := func(options ...[]byte) []byte {
		return join(u32(3), join(options...), opt(optGo, join(str(""), u16(1), u16(3))))
	}
	meta := opt(optSetMetaContext, metaQuery("", "base:allocation", "qemu:allocation-depth"))
	const size = 1 << 20
	for _, mode := range [][]byte{start(), start(opt(optStructuredReply, nil)), start(opt(optStructuredReply, nil), meta), join(u32(0), opt(optExportName, nil))} {
		for _, r := range []request{
			{kind: cmdRead, off: 5, length: 1000}, {kind: cmdRead, length: size}, {kind: cmdRead, flags: cmdFlagDontFragment, length: 70000},
			{kind: cmdWrite, off: 5, length: 100}, {kind: cmdWrite, flags: cmdFlagFUA, off: 5, length: 300000}, {kind: cmdFlush},
			{kind: cmdTrim, length: size}, {kind: cmdCache, length: 5}, {kind: cmdWriteZeroes, flags: cmdFlagFastZero, length: size},
			{kind: cmdBlockStatus, length: size}, {kind: cmdBlockStatus, flags: cmdFlagReqOne, length: size}, {kind: cmdRead, off: 1<<64 - 5, length: 10},
		} {
			b := append(bytes.Clone(mode), encode(r)...)
			if r.kind == cmdWrite {
				b = append(b, make([]byte, r.length)...)
			}
			f.Add(append(b, encode(request{kind: cmdDisconnect})...), false)
		}
	}
	f.Add(join(u32(3), opt(optListMetaContext, metaQuery("", "base:")), opt(optList, nil), opt(optInfo, join(str("x"), u16(0))), opt(optAbort, nil)), true)
	image := newStriped(size, 40*kib)
	f.Fuzz(func(t *testing.T, said []byte, readOnly bool) {
		s, err := NewServer(Export{Image: guarded{image, t, readOnly}, ReadOnly: readOnly}, Options{Depth: 3})
		if err != nil {
			t.Fatal(err)
		}
		c := s.add(&script{in: bytes.NewReader(said)})
		s.serve(c)
		if len(s.conns) != 0 || c.pool.made > 3 {
			t.Errorf("%d connections and %d buffers at the end", len(s.conns), c.pool.made)
		}
	})
}

// FuzzOptions has the parsers of options look at anything.
func FuzzOptions(f *testing.F) {
	f.Add(join(str("disk"), u16(2), u16(1), u16(3)))
	f.Add(metaQuery("disk", "base:allocation", "qemu:"))
	f.Add(join(str("disk"), u32(1<<32-1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if name, infos, ok := parseGo(data); ok && (!isString(name) || infos >= 1<<4) {
			t.Errorf("name %q, infos %b", name, infos)
		}
		for _, list := range []bool{true, false} {
			if name, set, ok := parseMeta(data, list); ok && (!isString(name) || set >= 1<<numContexts) {
				t.Errorf("name %q, contexts %b", name, set)
			}
		}
	})
}
