package nbd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/raw"
)

// quiet is an image that costs nothing.
type quiet struct{ disk.Image }

const quietSize = 1 << 30

func (quiet) Size() int64                            { return quietSize }
func (quiet) Info() disk.Info                        { return disk.Info{} }
func (quiet) ReadAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (quiet) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (quiet) WriteZeroes(_, _ int64, _ bool) error   { return nil }
func (quiet) Discard(_, _ int64) error               { return nil }
func (quiet) Flush() error                           { return nil }
func (quiet) Extents(off, n int64, yield func(disk.Extent) bool) error {
	if yield(disk.Extent{Offset: off, Length: n / 2, Host: -1}) {
		yield(disk.Extent{Offset: off + n/2, Length: n - n/2, Kind: disk.Data, Host: off})
	}
	return nil
}

// lean is a client that allocates nothing.
type lean struct {
	nc       net.Conn
	requests []byte // all that a round sends
	answer   []byte // room for what comes back
}

// newLean prepares rounds of depth equal requests; each is answered with so many bytes.
func newLean(tb testing.TB, image disk.Image, structured bool, r request, depth, answer int) *lean {
	_, path := serve(tb, Export{Image: image}, Options{})
	nc, err := net.Dial("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	err = hello(nc, 3)
	if structured && err == nil {
		_, err = accepted(nc, optStructuredReply, nil)
		if err == nil {
			_, err = accepted(nc, optSetMetaContext, metaQuery("", "base:allocation"))
		}
	}
	if err == nil {
		_, err = accepted(nc, optGo, join(str(""), u16(0)))
	}
	if err != nil {
		tb.Fatal(err)
	}
	l := &lean{nc: nc, answer: make([]byte, depth*answer)}
	for k := range depth {
		r.off = uint64(k) * uint64(r.length)
		if r.kind == cmdFlush {
			r.off = 0
		}
		l.requests = append(l.requests, encode(r)...)
		if r.kind == cmdWrite {
			l.requests = append(l.requests, make([]byte, r.length)...)
		}
	}
	return l
}

func (l *lean) round(tb testing.TB) {
	if _, err := l.nc.Write(l.requests); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(l.nc, l.answer); err != nil {
		tb.Fatal(err)
	}
}

// TestNoAllocations checks that requests of all kinds need no memory once a connection is warm.
func TestNoAllocations(t *testing.T) {
	const data, hole = structuredReplySize + offsetSize, structuredReplySize + holeSize
	for _, c := range []struct {
		name       string
		structured bool
		request
		answer int
	}{
		{"read", false, request{kind: cmdRead, length: 4 * kib}, simpleReplySize + 4*kib},
		{"read", true, request{kind: cmdRead, length: 4 * kib}, data + 4*kib},
		{"long read", false, request{kind: cmdRead, length: mib}, simpleReplySize + mib},
		{"sparse read", true, request{kind: cmdRead, length: 128 * kib}, data + 64*kib + hole},
		{"write", false, request{kind: cmdWrite, length: 4 * kib}, simpleReplySize},
		{"long write", true, request{kind: cmdWrite, length: mib, flags: cmdFlagFUA}, simpleReplySize},
		{"flush", true, request{kind: cmdFlush}, simpleReplySize},
		{"zeroes", true, request{kind: cmdWriteZeroes, flags: cmdFlagFastZero, length: mib}, simpleReplySize},
		{"status", true, request{kind: cmdBlockStatus, length: mib}, statusHead + 16},
		{"error", true, request{kind: cmdTrim, flags: cmdFlagNoHole, length: mib}, errorChunkSize(errInvalid.Error())},
	} {
		image := disk.Image(quiet{})
		if c.name == "sparse read" {
			image = halves{}
		}
		if c.name == "zeroes" {
			image = allHole{}
		}
		l := newLean(t, image, c.structured, c.request, 4, c.answer)
		for range 20 {
			l.round(t)
		}
		if n := testing.AllocsPerRun(50, func() { l.round(t) }); n > 0.5 {
			t.Errorf("%s, structured %v: %v allocations for 4 requests", c.name, c.structured, n)
		}
	}
}

// halves has a hole in the second half of each 128 KiB.
type halves struct{ quiet }

func (halves) Extents(off, n int64, yield func(disk.Extent) bool) error {
	for end := off + n; off < end; off += 64 * kib {
		e := disk.Extent{Offset: off, Length: 64 * kib, Host: off}
		if off/(64*kib)%2 == 0 {
			e.Kind = disk.Data
		}
		if !yield(e) {
			break
		}
	}
	return nil
}

type allHole struct{ quiet }

func (allHole) Extents(off, n int64, yield func(disk.Extent) bool) error {
	yield(disk.Extent{Offset: off, Length: n, Host: -1})
	return nil
}

// BenchmarkServer is the server by itself, with an image that costs nothing: what a round of requests takes, the client's part included.
func BenchmarkServer(b *testing.B) {
	for _, c := range []struct {
		name   string
		r      request
		answer int
	}{
		{"read4K", request{kind: cmdRead, length: 4 * kib}, simpleReplySize + 4*kib},
		{"write4K", request{kind: cmdWrite, length: 4 * kib}, simpleReplySize},
		{"read1M", request{kind: cmdRead, length: mib}, simpleReplySize + mib},
		{"write1M", request{kind: cmdWrite, length: mib}, simpleReplySize},
	} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/depth%d", c.name, depth), func(b *testing.B) {
				if c.name == "write1M" && depth > 1 {
					depth = 4 // the client sends all before it listens
				}
				l := newLean(b, quiet{}, false, c.r, depth, c.answer)
				l.round(b)
				b.SetBytes(int64(depth) * int64(c.r.length))
				b.ReportAllocs()
				for b.Loop() {
					l.round(b)
				}
			})
		}
	}
}

// BenchmarkQemuImg has qemu-img bench measure this server and qemu-nbd in turns, on a raw file of 256 MiB.
func BenchmarkQemuImg(b *testing.B) {
	disktest.FindTool(b, "qemu-nbd", "qemu-utils")
	const size = 256 * mib
	dir := disktest.Dir(b)
	path := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(path, newFake(size).data, 0o600); err != nil {
		b.Fatal(err)
	}
	i, err := raw.Open(path, disk.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	_, ours := serve(b, Export{Image: i}, Options{})
	copied := filepath.Join(dir, "copy.raw")
	if err := os.WriteFile(copied, newFake(size).data, 0o600); err != nil {
		b.Fatal(err)
	}
	theirs := filepath.Join(dir, "q")
	qemu := exec.Command("qemu-nbd", "-f", "raw", "-k", theirs, "-t", "-e", "8", "--fork", "--pid-file", theirs+".pid", copied)
	if out, err := qemu.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	defer func() {
		pid, err := os.ReadFile(theirs + ".pid")
		if err != nil {
			b.Error(err)
			return
		}
		n, err := strconv.Atoi(string(pid[:len(pid)-1]))
		if err != nil {
			b.Error(err)
			return
		}
		p, err := os.FindProcess(n)
		if err := errors.Join(err, p.Kill()); err != nil {
			b.Error(err)
		}
	}()
	for _, c := range []struct {
		name         string
		block, count int
		step, depth  int
	}{
		{"sequential1M", mib, 1000, mib, 1}, {"random4K/depth1", 4 * kib, 10000, 1052672, 1}, {"random4K/depth16", 4 * kib, 20000, 1052672, 16},
	} {
		for _, write := range []bool{false, true} {
			for who, socket := range map[string]string{"vmm": ours, "qemu-nbd": theirs} {
				b.Run(fmt.Sprintf("%s/write=%v/%s", c.name, write, who), func(b *testing.B) {
					args := []string{"bench", "-f", "raw", "-s", strconv.Itoa(c.block), "-S", strconv.Itoa(c.step), "-d", strconv.Itoa(c.depth), "-c", strconv.Itoa(c.count)}
					if write {
						args = append(args, "-w")
					}
					b.SetBytes(int64(c.block) * int64(c.count))
					for b.Loop() {
						if out, err := exec.Command("qemu-img", append(args, "nbd+unix:///?socket="+socket)...).CombinedOutput(); err != nil {
							b.Fatalf("%v: %s", err, out)
						}
					}
				})
			}
		}
	}
}
