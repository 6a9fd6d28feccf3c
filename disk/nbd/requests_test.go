package nbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// TestErrors sends requests that must fail, each followed by one that must not.
func TestErrors(t *testing.T) {
	const size = 40*mib + 100
	image := newFake(size)
	_, path := serve(t, Export{Image: image}, Options{})
	_, readOnly := serve(t, Export{Image: image, ReadOnly: true}, Options{})
	before := slices.Clone(image.data)
	type kindOf int
	const (
		both kindOf = iota
		simple
		structured
	)
	for _, c := range []struct {
		name        string
		on          kindOf
		readOnly    bool
		kind, flags uint16
		off, length uint64
		want        code
	}{
		{"read past the end", both, false, cmdRead, 0, size - 1, 2, errInvalid},
		{"large read past the end", both, false, cmdRead, 0, size - mib, 2 * mib, errInvalid},
		{"read at the last offset", both, false, cmdRead, 0, 1<<64 - 1, 1, errInvalid},
		{"read whose end wraps", both, false, cmdRead, 0, 1<<64 - 10, 20, errInvalid},
		{"too long a read", simple, false, cmdRead, 0, 0, MaxPayload + 1, errInvalid},
		{"too long a read", structured, false, cmdRead, 0, 0, MaxPayload + 1, errOverflow},
		{"DF that was not offered", simple, false, cmdRead, cmdFlagDontFragment, 0, 10, errInvalid},
		{"long DF", structured, false, cmdRead, cmdFlagDontFragment, 0, mib, errOverflow},
		{"write past the end", both, false, cmdWrite, 0, size - 1, 2, errNoSpace},
		{"large write past the end", both, false, cmdWrite, 0, size - mib, 2 * mib, errNoSpace},
		{"write, read-only", both, true, cmdWrite, 0, 0, 100, errPerm},
		{"write with a flag of others", both, false, cmdWrite, cmdFlagNoHole, 0, 3 * mib, errInvalid},
		{"trim past the end", both, false, cmdTrim, 0, size, 1, errInvalid},
		{"trim, read-only", both, true, cmdTrim, 0, 0, 100, errPerm},
		{"trim with a flag of others", both, false, cmdTrim, cmdFlagFastZero, 0, 100, errInvalid},
		{"zeroes past the end", both, false, cmdWriteZeroes, 0, size, 1, errNoSpace},
		{"zeroes, read-only", both, true, cmdWriteZeroes, cmdFlagFastZero, 0, 100, errPerm},
		{"cache past the end", both, false, cmdCache, 0, size, 1, errInvalid},
		{"cache with a flag", both, false, cmdCache, cmdFlagReqOne, 0, 1, errInvalid},
		{"flush of a range", both, false, cmdFlush, 0, 0, 1, errInvalid},
		{"status without a context", simple, false, cmdBlockStatus, 0, 0, 100, errInvalid},
		{"status past the end", structured, false, cmdBlockStatus, 0, size, 1, errInvalid},
		{"status of nothing", structured, false, cmdBlockStatus, 0, 0, 0, errInvalid},
		{"resize", both, false, 8, 0, 0, 100, errInvalid},
		{"unknown command", both, false, 65535, 0, 0, 0, errInvalid},
		{"unknown flag", both, false, cmdRead, 1 << 15, 0, 10, errInvalid},
	} {
		for _, s := range []bool{true, false} {
			if c.on == simple && !s || c.on == structured && s {
				continue
			}
			at := path
			if c.readOnly {
				at = readOnly
			}
			cl := dial(t, at, setup{simple: s})
			if _, err := cl.do(c.kind, c.flags, c.off, c.length, make([]byte, c.length)); !errors.Is(err, c.want) {
				t.Errorf("%s, simple %v: %v, want %v", c.name, s, err, c.want)
			}
			if k, err := cl.do(cmdRead, 0, 1000, 20, nil); err != nil || !bytes.Equal(k.data, before[1000:1020]) {
				t.Errorf("%s, simple %v: read afterwards: %v", c.name, s, err)
			}
			if err := cl.close(); err != nil {
				t.Error(err)
			}
		}
	}
	if !bytes.Equal(image.data, before) {
		t.Error("the image was changed")
	}
	// Selected for another name, contexts are not there.
	c := dial(t, path, setup{contexts: []string{}})
	if _, err := c.do(cmdBlockStatus, 0, 0, 100, nil); !errors.Is(err, errInvalid) {
		t.Errorf("status with no context selected: %v", err)
	}
}

// TestRequests checks what requests do to the image, in both modes and in sizes around those of pieces and of what is served at once.
func TestRequests(t *testing.T) {
	const size = 5*mib + 77
	for _, simple := range []bool{true, false} {
		image := newFake(size)
		image.from, image.to = mib, 3*mib // as if it had holes, which the data there belies: see the holes below
		want := slices.Clone(image.data)
		clear(image.data[:image.from])
		clear(image.data[image.to:])
		clear(want[:image.from])
		clear(want[image.to:])
		_, path := serve(t, Export{Image: image}, Options{})
		c := dial(t, path, setup{simple: simple})
		for _, n := range []uint64{0, 1, 511, 4 * kib, directMax, directMax + 1, pieceSize - 1, pieceSize, pieceSize + 1, mib, 2*mib + 5, size} {
			for _, off := range []uint64{0, 1, 4 * kib, mib - 100, pieceSize, size - n} {
				if off+n > size {
					continue
				}
				k, err := c.do(cmdRead, cmdFlagFUA, off, n, nil) // FUA may come with any command
				if err != nil || !bytes.Equal(k.data, want[off:off+n]) {
					t.Fatalf("simple %v: read %d at %d: %v", simple, n, off, err)
				}
				for _, flags := range []uint16{0, cmdFlagFUA} {
					image.took()
					data := bytes.Repeat([]byte{byte(n), byte(off), byte(flags), 1}, int(n)/4+1)[:n]
					copy(want[off:], data)
					if _, err := c.do(cmdWrite, flags, off, n, data); err != nil {
						t.Fatalf("simple %v: write %d at %d: %v", simple, n, off, err)
					}
					if log := image.took(); n > 0 && (log[len(log)-1] == "flush") != (flags != 0) {
						t.Fatalf("write with flags %d: %v", flags, log)
					}
				}
				// The map of the fake image says nothing of writes to its holes.
				image.from, image.to = min(image.from, int64(off)), max(image.to, int64(off+n))
			}
		}
		if !bytes.Equal(image.data, want) {
			t.Errorf("simple %v: the image does not hold what was written", simple)
		}
		for _, r := range []struct {
			kind, flags uint16
			want        []string
		}{
			{cmdFlush, 0, []string{"flush"}},
			{cmdFlush, cmdFlagFUA, []string{"flush"}},
			{cmdCache, 0, nil},
			{cmdTrim, 0, []string{"discard"}},
			{cmdTrim, cmdFlagFUA, []string{"discard", "flush"}},
			{cmdWriteZeroes, 0, []string{"unmap"}},
			{cmdWriteZeroes, cmdFlagNoHole, []string{"zero"}},
			{cmdWriteZeroes, cmdFlagNoHole | cmdFlagFUA, []string{"zero", "flush"}},
			{cmdWriteZeroes, cmdFlagFastZero, []string{"unmap"}},
		} {
			image.took()
			n := uint64(3 * mib)
			if r.kind == cmdFlush {
				n = 0
			}
			if _, err := c.do(r.kind, r.flags, 0, n, nil); err != nil {
				t.Errorf("command %d: %v", r.kind, err)
			}
			if log := image.took(); !slices.Equal(log, r.want) {
				t.Errorf("command %d with flags %d: %v, want %v", r.kind, r.flags, log, r.want)
			}
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}

// slowZeroes says that all its data lies in a parent.
type slowZeroes struct{ *fakeImage }

func (s slowZeroes) Extents(off, n int64, yield func(disk.Extent) bool) error {
	return s.fakeImage.Extents(off, n, func(e disk.Extent) bool {
		e.Depth = 1
		return yield(e)
	})
}

func TestFastZeroRefused(t *testing.T) {
	image := newFake(mib)
	image.from = 64 * kib
	_, path := serve(t, Export{Image: slowZeroes{image}}, Options{})
	c := dial(t, path, setup{})
	if _, err := c.do(cmdWriteZeroes, cmdFlagFastZero, 0, mib, nil); !errors.Is(err, errNotSup) || len(image.took()) > 0 {
		t.Errorf("over a parent: %v", err)
	}
	if _, err := c.do(cmdWriteZeroes, cmdFlagFastZero, 0, 64*kib, nil); err != nil {
		t.Errorf("a hole: %v", err)
	}
	if _, err := c.do(cmdWriteZeroes, cmdFlagFastZero|cmdFlagNoHole, 0, 64*kib, nil); !errors.Is(err, errNotSup) {
		t.Errorf("a hole that is to be filled: %v", err)
	}
	if _, err := c.do(cmdWriteZeroes, 0, 0, mib, nil); err != nil {
		t.Errorf("without FAST_ZERO: %v", err)
	}
}

// striped is alternately data and hole, in stripes.
type striped struct {
	*fakeImage
	stripe int64
}

func (s striped) Extents(off, n int64, yield func(disk.Extent) bool) error {
	for end := off + n; off < end; {
		e := disk.Extent{Offset: off, Length: min(end, (off/s.stripe+1)*s.stripe) - off, Host: -1}
		if off/s.stripe%2 == 0 {
			e.Kind, e.Host, e.Depth = disk.Data, off, int(off/s.stripe/2%2)
		}
		if !yield(e) {
			return nil
		}
		off += e.Length
	}
	return nil
}

func newStriped(size, stripe int64) striped {
	image := newFake(size)
	for off := stripe; off < size; off += 2 * stripe {
		clear(image.data[off:min(size, off+stripe)])
	}
	return striped{image, stripe}
}

// TestHoles reads from images of data and holes of all sizes.
func TestHoles(t *testing.T) {
	for _, stripe := range []int64{512, 4 * kib, 16 * kib, 32 * kib, 100000, 128 * kib, mib, 3 * mib} {
		const size = 9*mib + 512
		image := newStriped(size, stripe)
		_, path := serve(t, Export{Image: image}, Options{})
		c := dial(t, path, setup{})
		holes := 0
		for _, r := range []struct{ off, n uint64 }{{0, size}, {512, 4 * mib}, {mib, 64 * kib}, {uint64(stripe), 2 * mib}, {3*mib + 1, 300001}} {
			k, err := c.do(cmdRead, 0, r.off, r.n, nil)
			if err != nil || !bytes.Equal(k.data, image.data[r.off:r.off+r.n]) {
				t.Fatalf("stripes of %d: read %d at %d: %v", stripe, r.n, r.off, err)
			}
			holes += k.holes
		}
		if (holes > 0) != (stripe >= holeMin) {
			t.Errorf("stripes of %d: %d holes", stripe, holes)
		}
		k, err := c.do(cmdRead, cmdFlagDontFragment, uint64(stripe)-100, 64*kib, nil)
		if err != nil || k.datas != 1 || k.holes != 0 || !bytes.Equal(k.data, image.data[stripe-100:][:64*kib]) {
			t.Errorf("stripes of %d: DF: %d and %d chunks, %v", stripe, k.datas, k.holes, err)
		}
	}
}

func TestBlockStatus(t *testing.T) {
	const size, stripe = 40 * mib, 512
	_, path := serve(t, Export{Image: newStriped(size, stripe)}, Options{})
	c := dial(t, path, setup{})
	k, err := c.do(cmdBlockStatus, 0, 100, 2000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.status["base:allocation"], []descriptor{{412, 0}, {512, 3}, {512, 0}, {512, 3}, {52, 0}}; !slices.Equal(got, want) {
		t.Errorf("allocation %v, want %v", got, want)
	}
	if got, want := k.status["qemu:allocation-depth"], []descriptor{{412, 1}, {512, 0}, {512, 2}, {512, 0}, {52, 1}}; !slices.Equal(got, want) {
		t.Errorf("depth %v, want %v", got, want)
	}
	if k, err = c.do(cmdBlockStatus, cmdFlagReqOne, 600, size-600, nil); err != nil || !slices.Equal(k.status["base:allocation"], []descriptor{{424, 3}}) {
		t.Errorf("REQ_ONE: %v, %v", k.status, err)
	}
	// More descriptors than one answer may have: the rest is asked for again.
	if k, err = c.do(cmdBlockStatus, 0, 0, size, nil); err != nil || len(k.status["base:allocation"]) < 10000 || len(k.status["base:allocation"]) >= size/stripe {
		t.Errorf("%d descriptors, %v", len(k.status["base:allocation"]), err)
	}
	one := dial(t, path, setup{contexts: []string{"qemu:allocation-depth"}})
	if k, err = one.do(cmdBlockStatus, 0, 0, 512, nil); err != nil || !slices.Equal(k.status["qemu:allocation-depth"], []descriptor{{512, 1}}) {
		t.Errorf("the other context alone: %v, %v", k.status, err)
	}
}

// TestImageErrors has the image fail.
func TestImageErrors(t *testing.T) {
	const size = 4 * mib
	image := newFake(size)
	image.before = func(op string, off, n int64) error {
		switch {
		case op == "flush":
			return syscall.EIO
		case off+n > 2*mib && op == "read":
			return errors.New("/a/secret/path: cannot be read")
		case off+n > 2*mib:
			return disk.ErrFull
		}
		return nil
	}
	_, path := serve(t, Export{Image: image}, Options{})
	for _, simple := range []bool{true, false} {
		c := dial(t, path, setup{simple: simple})
		for _, r := range []struct {
			kind, flags uint16
			off, n      uint64
			want        code
		}{
			{cmdRead, 0, 3 * mib, 100, errIO},
			{cmdRead, 0, 3 * mib, mib, errIO},
			{cmdWrite, 0, 3 * mib, 100, errNoSpace},
			{cmdWrite, 0, mib, 3 * mib, errNoSpace}, // its first pieces go well
			{cmdWrite, cmdFlagFUA, 0, 100, errIO},
			{cmdWrite, cmdFlagFUA, 0, mib, errIO},
			{cmdTrim, 0, 3 * mib, 100, errNoSpace},
			{cmdWriteZeroes, 0, 3 * mib, 100, errNoSpace},
			{cmdFlush, 0, 0, 0, errIO},
		} {
			if _, err := c.do(r.kind, r.flags, r.off, r.n, make([]byte, r.n)); !errors.Is(err, r.want) {
				t.Errorf("simple %v, command %d of %d at %d: %v, want %v", simple, r.kind, r.n, r.off, err, r.want)
			}
		}
		k, err := c.do(cmdRead, 0, mib, 3*mib, nil)
		if simple {
			if err == nil || errors.Is(err, errIO) {
				t.Errorf("an error behind the header: %v, want the end of the connection", err)
			}
			continue
		}
		if !errors.Is(err, errIO) || !bytes.Equal(k.data[:mib], image.data[mib:2*mib]) {
			t.Errorf("an error in the middle: %v", err)
		}
	}
}

// gate stops operations of an image.
type gate struct {
	reached chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 100), make(chan struct{})} }

func (g *gate) pass(op string) {
	g.reached <- op
	<-g.open
}

// TestOutOfOrder has a request that takes long, and others behind it that do not.
func TestOutOfOrder(t *testing.T) {
	image := newFake(4 * mib)
	g := newGate()
	image.before = func(op string, off, _ int64) error {
		if off == 2*mib {
			g.pass(op)
		}
		return nil
	}
	_, path := serve(t, Export{Image: image}, Options{})
	c := dial(t, path, setup{})
	slow := []*call{
		c.start(request{kind: cmdRead, off: 2 * mib, length: mib}, nil),
		c.start(request{kind: cmdWrite, off: 2 * mib, length: mib}, make([]byte, mib)),
		c.start(request{kind: cmdWriteZeroes, off: 2 * mib, length: mib}, nil),
		c.start(request{kind: cmdTrim, off: 2 * mib, length: mib}, nil),
	}
	for range slow {
		<-g.reached
	}
	for _, n := range []uint64{512, mib} {
		if _, err := c.do(cmdRead, 0, 0, n, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.do(cmdWrite, 0, 0, n, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.do(cmdFlush, 0, 0, 0, nil); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	for _, k := range slow {
		if err := k.wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestSlowImage finds that small reads, once one was slow, are no longer served one after the other.
func TestSlowImage(t *testing.T) {
	image := newFake(mib)
	var once sync.Once
	g := newGate()
	image.before = func(op string, off, _ int64) error {
		switch off {
		case 0:
			once.Do(func() { time.Sleep(2 * tooSlow) }) // this is what makes it slow
		case 4096:
			g.pass(op)
		}
		return nil
	}
	_, path := serve(t, Export{Image: image}, Options{})
	c := dial(t, path, setup{})
	if _, err := c.do(cmdRead, 0, 0, 512, nil); err != nil {
		t.Fatal(err)
	}
	slow := c.start(request{kind: cmdRead, off: 4096, length: 512}, nil)
	<-g.reached
	if _, err := c.do(cmdRead, 0, 8192, 512, nil); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if err := slow.wait(); err != nil {
		t.Error(err)
	}
}

// TestMultiConn writes on one connection and flushes on another: what was answered is covered.
func TestMultiConn(t *testing.T) {
	image := newFake(4 * mib)
	_, path := serve(t, Export{Image: image}, Options{})
	a, b := dial(t, path, setup{}), dial(t, path, setup{})
	for _, n := range []uint64{100, 3 * mib} {
		data := bytes.Repeat([]byte{byte(n) | 1}, int(n))
		if _, err := a.do(cmdWrite, 0, 0, n, data); err != nil {
			t.Fatal(err)
		}
		image.took()
		if _, err := b.do(cmdFlush, 0, 0, 0, nil); err != nil || !slices.Equal(image.took(), []string{"flush"}) {
			t.Errorf("flush on the other connection: %v", err)
		}
		if k, err := b.do(cmdRead, 0, 0, n, nil); err != nil || !bytes.Equal(k.data, data) {
			t.Errorf("read on the other connection: %v", err)
		}
	}
}

// TestDeafClient asks for much and reads no reply: it gets so many buffers and no more, and hinders nobody.
func TestDeafClient(t *testing.T) {
	const depth = 4
	image := newFake(32 * mib)
	s, path := serve(t, Export{Image: image}, Options{Depth: depth})
	nc := knock(t, path)
	if err := hello(nc, 3); err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		opt  uint32
		data []byte
	}{{optStructuredReply, nil}, {optGo, join(str(""), u16(0))}} {
		if _, err := accepted(nc, o.opt, o.data); err != nil {
			t.Fatal(err)
		}
	}
	requests := bytes.Repeat(encode(request{kind: cmdRead, length: MaxPayload}), 200000)
	if err := nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(requests); err == nil {
		t.Error("the server took all of it")
	}
	other := dial(t, path, setup{})
	if _, err := other.do(cmdRead, 0, 0, MaxPayload, nil); err != nil {
		t.Errorf("another client: %v", err)
	}
	if most := image.most.Load(); most > 2*depth {
		t.Errorf("%d reads at a time", most)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
}

// TestKilledClient loses clients in all the middles there are.
func TestKilledClient(t *testing.T) {
	image := newFake(8 * mib)
	s, path := serve(t, Export{Image: image}, Options{})
	write := append(encode(request{kind: cmdWrite, off: mib, length: 2 * mib}), make([]byte, 2*mib)...)
	for _, sent := range []int{1, requestSize, requestSize + 1, requestSize + pieceSize, requestSize + pieceSize + 100, requestSize + mib} {
		c := dial(t, path, setup{})
		if _, err := c.nc.Write(write[:sent]); err != nil {
			t.Fatal(err)
		}
		c.nc.Close()
	}
	reader := dial(t, path, setup{})
	reader.start(request{kind: cmdRead, length: 8 * mib}, nil)
	reader.nc.Close()
	small := dial(t, path, setup{})
	if _, err := small.nc.Write(append(encode(request{kind: cmdWrite, off: 3 * mib, length: 1000}), make([]byte, 999)...)); err != nil {
		t.Fatal(err)
	}
	small.nc.Close()

	if _, err := dial(t, path, setup{}).do(cmdRead, 0, 0, 100, nil); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	want := newFake(8 * mib).data
	if !bytes.Equal(image.data[:mib], want[:mib]) || !bytes.Equal(image.data[2*mib:], want[2*mib:]) {
		t.Error("more was written than arrived")
	}
}

// TestBreaches has clients that break the protocol in transmission.
func TestBreaches(t *testing.T) {
	_, path := serve(t, Export{Image: newFake(mib)}, Options{})
	for name, sent := range map[string][]byte{
		"magic":     bytes.Repeat([]byte{1}, requestSize),
		"payload":   encode(request{kind: cmdWrite, length: MaxPayload + 1}),
		"old magic": append([]byte{0x12, 0x56, 0x09, 0x53}, make([]byte, requestSize)...),
	} {
		c := dial(t, path, setup{})
		if _, err := c.nc.Write(sent); err != nil {
			t.Fatal(err)
		}
		<-c.stopped
		if !errors.Is(c.broken, io.EOF) && !strings.Contains(c.broken.Error(), "reset") {
			t.Errorf("%s: %v", name, c.broken)
		}
	}
}

// TestShutdown has requests in flight: they are finished and answered.
func TestShutdown(t *testing.T) {
	image := newFake(4 * mib)
	g := newGate()
	image.before = func(op string, _, _ int64) error {
		g.pass(op)
		return nil
	}
	s, path := serve(t, Export{Image: image}, Options{})
	c := dial(t, path, setup{})
	greeted := knock(t, path)
	if err := hello(greeted, 3); err != nil {
		t.Fatal(err)
	}
	write := c.start(request{kind: cmdWrite, flags: cmdFlagFUA, off: 100, length: pieceSize}, bytes.Repeat([]byte{7}, pieceSize))
	read := c.start(request{kind: cmdRead, off: 2 * mib, length: mib}, nil)
	for range 2 + 4 { // pieces
		<-g.reached
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	closed(t, greeted)
	if nc, err := net.Dial("unix", path); err == nil {
		closed(t, nc)
		nc.Close()
	}
	select {
	case err := <-down:
		t.Errorf("shut down with requests in flight: %v", err)
	default:
	}
	close(g.open)
	if err := errors.Join(<-down, write.wait(), read.wait()); err != nil {
		t.Error(err)
	}
	if image.data[100] != 7 || !slices.Contains(image.took(), "flush") {
		t.Error("the write in flight was lost")
	}
	if l, err := net.Listen("unix", path+"2"); err != nil {
		t.Error(err)
	} else if err := s.Serve(l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}
