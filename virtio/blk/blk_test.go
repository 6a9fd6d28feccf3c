package blk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sector    = 512
	imageSize = 1 << 20

	featureReadOnly  = 1 << 5
	featureFlush     = 1 << 9
	featureConfigWCE = 1 << 11
	featureMQ        = 1 << 12
	allFeatures      = 1<<50 - 1

	typeIn, typeOut, typeFlush, typeGetID, typeDiscard, typeZeroes = 0, 1, 4, 8, 11, 13
	statusOK, statusIOError, statusUnsupported                     = 0, 1, 2
)

func newDevice(t testing.TB, c blk.Config) *blk.Device {
	t.Helper()
	d, err := blk.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start returns a running driver of a device.
func start(t testing.TB, c blk.Config) *virtiotest.Driver {
	t.Helper()
	d := virtiotest.New(t, newDevice(t, c))
	d.Start(allFeatures)
	return d
}

func header(kind uint32, at uint64) []byte {
	h := binary.LittleEndian.AppendUint32(nil, kind)
	h = binary.LittleEndian.AppendUint32(h, 0)
	return binary.LittleEndian.AppendUint64(h, at)
}

// zeroRange is one range of a discard or write-zeroes request.
func zeroRange(at uint64, sectors, flags uint32) []byte {
	r := binary.LittleEndian.AppendUint64(nil, at)
	r = binary.LittleEndian.AppendUint32(r, sectors)
	return binary.LittleEndian.AppendUint32(r, flags)
}

// pattern is n bytes that no other seed has.
func pattern(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed ^ byte(i) ^ byte(i>>8)*31
	}
	return p
}

// status takes the status byte of a completed request.
func status(r *virtiotest.Request) byte {
	r.Wait()
	w := r.Writable()
	return w[len(w)-1]
}

// cuts splits p into pieces of the given lengths; the rest is the last piece.
func cuts(p []byte, lengths ...int) (pieces [][]byte) {
	for _, n := range lengths {
		pieces = append(pieces, p[:n])
		p = p[n:]
	}
	return append(pieces, p)
}

// A driver may cut requests into descriptors anywhere (virtio 1.2, section 2.7.4).
func TestFraming(t *testing.T) {
	const at, n = 7, 3 * sector
	data := pattern(1, n)
	writes := map[string][][]byte{
		"usual":                   {header(typeOut, at), data},
		"segments":                append([][]byte{header(typeOut, at)}, cuts(data, 1, 511, 512)...),
		"all in one":              {append(header(typeOut, at), data...)},
		"header in bytes":         append(cuts(header(typeOut, at), 1, 1, 2, 4, 7), data),
		"header ends in data":     cuts(append(header(typeOut, at), data...), 3, 20),
		"one byte of data apart":  append([][]byte{header(typeOut, at)}, cuts(data, 1)...),
		"a page and what is left": append([][]byte{header(typeOut, at)}, cuts(data, 1024)...),
	}
	reads := map[string][]int{
		"usual":             {n, 1},
		"segments":          {512, 1, 511, 512, 1},
		"status in data":    {n + 1},
		"status at the end": {n - 1, 2},
	}
	for _, vectored := range []bool{false, true} {
		for _, indirect := range []bool{false, true} {
			image := newImage(imageSize)
			c := blk.Config{Image: image}
			if vectored {
				c.Image = &vectorImage{Image: image}
			}
			d := start(t, c)
			q := d.Queues[0]
			q.Indirect = indirect
			suffix := fmt.Sprintf(", vectored %v, indirect %v", vectored, indirect)
			for name, out := range writes {
				t.Run("write "+name+suffix, func(t *testing.T) {
					image.Fill(0, make([]byte, imageSize))
					r := q.Submit(out, 1)
					if s := status(r); s != statusOK || r.Written != 1 {
						t.Fatalf("status %d, %d bytes used", s, r.Written)
					}
					if !bytes.Equal(image.Content(at*sector, n), data) {
						t.Error("the image does not hold what was written")
					}
					if got := image.Content(at*sector+n, sector); !bytes.Equal(got, make([]byte, sector)) {
						t.Error("more than the request's data was written")
					}
				})
			}
			image.Fill(at*sector, data)
			for name, in := range reads {
				t.Run("read "+name+suffix, func(t *testing.T) {
					r := q.Submit([][]byte{header(typeIn, at)}, in...)
					if s := status(r); s != statusOK || r.Written != n+1 {
						t.Fatalf("status %d, %d bytes used", s, r.Written)
					}
					if !bytes.Equal(r.Data()[:n], data) {
						t.Error("the guest did not get the image's data")
					}
				})
			}
		}
	}
}

func TestOtherRequests(t *testing.T) {
	image := newImage(imageSize)
	image.Fill(0, pattern(3, imageSize))
	d := start(t, blk.Config{Image: image, Serial: "disk-0123456789"})
	q := d.Queues[0]

	if s := status(q.Submit([][]byte{header(typeFlush, 0)}, 1)); s != statusOK || image.Flushes.Load() != 1 {
		t.Errorf("flush: status %d, %d flushes", s, image.Flushes.Load())
	}
	for _, room := range []int{20, 64, 7} {
		r := q.Submit([][]byte{header(typeGetID, 0)}, room, 1)
		want := min(room, 20)
		id := append([]byte("disk-0123456789"), make([]byte, 5)...)
		if s := status(r); s != statusOK || r.Written != want+1 || !bytes.Equal(r.Writable()[:want], id[:want]) {
			t.Errorf("ID in %d bytes: status %d, %d used, %q", room, s, r.Written, r.Writable())
		}
	}
	r := q.Submit([][]byte{header(typeDiscard, 0), zeroRange(2, 3, 0), zeroRange(100, 1, 0)}, 1)
	if s := status(r); s != statusOK || image.Discards.Load() != 2 {
		t.Errorf("discard: status %d, %d calls", s, image.Discards.Load())
	}
	if got := image.Content(2*sector, 3*sector); !bytes.Equal(got, bytes.Repeat([]byte{0xdd}, 3*sector)) {
		t.Error("discard: the wrong range")
	}
	for _, unmap := range []uint32{0, 1} {
		at := uint64(10 + 10*unmap)
		if s := status(q.Submit([][]byte{header(typeZeroes, 0), zeroRange(at, 2, unmap)}, 1)); s != statusOK {
			t.Errorf("write zeroes: status %d", s)
		}
		if got := image.Content(int(at)*sector, 3*sector); !bytes.Equal(got[:2*sector], make([]byte, 2*sector)) || got[2*sector] == 0 && got[2*sector+1] == 0 {
			t.Error("write zeroes: the wrong range")
		}
	}
	if s := status(q.Submit([][]byte{header(99, 0)}, 1)); s != statusUnsupported {
		t.Errorf("unknown type: status %d", s)
	}
	// A read or write of nothing is nothing wrong.
	if s := status(q.Submit([][]byte{header(typeOut, 0)}, 1)); s != statusOK {
		t.Errorf("empty write: status %d", s)
	}
	if s := status(q.Submit([][]byte{header(typeIn, 0)}, 1)); s != statusOK {
		t.Errorf("empty read: status %d", s)
	}
}

// Faulty requests get an error, leave the image alone, and leave the device working.
func TestFaultyRequests(t *testing.T) {
	const sectors = imageSize / sector
	tests := []struct {
		name     string
		readOnly bool
		out      [][]byte
		in       []int
		want     byte
	}{
		{name: "header cut short", out: [][]byte{header(typeOut, 0)[:15]}, want: statusIOError},
		{name: "no header", in: []int{512}, want: statusIOError},
		{name: "write of half a sector", out: [][]byte{header(typeOut, 0), make([]byte, 256)}, want: statusIOError},
		{name: "read of a byte too many", out: [][]byte{header(typeIn, 0)}, in: []int{513}, want: statusIOError},
		{name: "write past the end", out: [][]byte{header(typeOut, sectors-1), make([]byte, 1024)}, want: statusIOError},
		{name: "read at the end", out: [][]byte{header(typeIn, sectors)}, in: []int{512}, want: statusIOError},
		{name: "sector wraps to 0 in bytes", out: [][]byte{header(typeOut, 1<<55), make([]byte, 512)}, want: statusIOError},
		{name: "last sector number", out: [][]byte{header(typeIn, 1<<64-1)}, in: []int{1024}, want: statusIOError},
		{name: "data to read from the guest", out: [][]byte{header(typeIn, 0), make([]byte, 512)}, in: []int{100}, want: statusIOError},

		{name: "write, read-only", readOnly: true, out: [][]byte{header(typeOut, 0), make([]byte, 512)}, want: statusIOError},
		{name: "discard, read-only", readOnly: true, out: [][]byte{header(typeDiscard, 0), zeroRange(0, 1, 0)}, want: statusIOError},
		{name: "zeroes, read-only", readOnly: true, out: [][]byte{header(typeZeroes, 0), zeroRange(0, 1, 0)}, want: statusIOError},

		{name: "discard of no range", out: [][]byte{header(typeDiscard, 0)}, want: statusIOError},
		{name: "discard of half a range", out: [][]byte{header(typeDiscard, 0), zeroRange(0, 1, 0)[:8]}, want: statusIOError},
		{name: "discard of a range and a half", out: [][]byte{header(typeDiscard, 0), append(zeroRange(0, 1, 0), 1, 2)}, want: statusIOError},
		{name: "discard with unmap", out: [][]byte{header(typeDiscard, 0), zeroRange(0, 1, 1)}, want: statusUnsupported},
		{name: "discard with unknown flag", out: [][]byte{header(typeDiscard, 0), zeroRange(0, 1, 1<<31)}, want: statusUnsupported},
		{name: "zeroes with unknown flag", out: [][]byte{header(typeZeroes, 0), zeroRange(0, 1, 2)}, want: statusUnsupported},
		{name: "discard past the end", out: [][]byte{header(typeDiscard, 0), zeroRange(sectors, 1, 0)}, want: statusIOError},
		{name: "discard, sector overflows", out: [][]byte{header(typeDiscard, 0), zeroRange(1<<64-1, 2, 0)}, want: statusIOError},
		{name: "zeroes, second range bad", out: [][]byte{header(typeZeroes, 0), zeroRange(0, 1, 0), zeroRange(sectors-1, 2, 0)}, want: statusIOError},
		{name: "discard of too much", out: [][]byte{header(typeDiscard, 0), zeroRange(0, 1<<32-1, 0)}, want: statusIOError},
		{name: "too many ranges", out: [][]byte{header(typeDiscard, 0), bytes.Repeat(zeroRange(0, 1, 0), 17)}, want: statusIOError},
		{name: "zones", out: [][]byte{header(16, 0)}, in: []int{512}, want: statusUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			image := newImage(imageSize)
			original := pattern(9, imageSize)
			image.Fill(0, original)
			d := start(t, blk.Config{Image: image, ReadOnly: test.readOnly})
			r := d.Queues[0].Submit(test.out, append(slices.Clone(test.in), 1)...)
			if s := status(r); s != test.want {
				t.Errorf("status %d, want %d", s, test.want)
			}
			if r.Written != 1 {
				t.Errorf("%d bytes used, want the status alone", r.Written)
			}
			if !bytes.Equal(image.Content(0, imageSize), original) {
				t.Error("the image was changed")
			}
			if s := status(d.Queues[0].Submit([][]byte{header(typeIn, 0)}, 512, 1)); s != statusOK {
				t.Errorf("next read: status %d", s)
			}
		})
	}
}

// A request of more data than SIZE_MAX and SEG_MAX allow is refused, even where the disk is larger.
func TestOversizedRequest(t *testing.T) {
	d := start(t, blk.Config{Image: newImage(4 << 20), QueueSize: 4})
	const limit = 2 * 256 << 10
	if s := status(d.Queues[0].Submit([][]byte{header(typeIn, 0)}, limit, 1)); s != statusOK {
		t.Errorf("the largest request: status %d", s)
	}
	if s := status(d.Queues[0].Submit([][]byte{header(typeIn, 0)}, limit+sector, 1)); s != statusIOError {
		t.Errorf("a larger request: status %d", s)
	}
}

// Without room for a status the driver cannot be answered: it has broken the protocol.
func TestNoStatus(t *testing.T) {
	d := start(t, blk.Config{Image: newImage(imageSize)})
	d.Queues[0].Submit([][]byte{header(typeOut, 0), make([]byte, 512)})
	d.AwaitReset()
	d.Start(allFeatures)
	if s := status(d.Queues[0].Submit([][]byte{header(typeIn, 0)}, 512, 1)); s != statusOK {
		t.Errorf("after the reset: status %d", s)
	}
}

func TestSlowRequestStallsNobody(t *testing.T) {
	image := newImage(imageSize)
	d := start(t, blk.Config{Image: image})
	q := d.Queues[0]
	g := image.Hold(0)
	slow := q.Submit([][]byte{header(typeIn, 0)}, 512, 1)
	<-g.Reached
	if s := status(q.Submit([][]byte{header(typeIn, 5)}, 512, 1)); s != statusOK {
		t.Errorf("read beside a slow one: status %d", s)
	}
	if s := status(q.Submit([][]byte{header(typeFlush, 0)}, 1)); s != statusOK {
		t.Errorf("flush beside a slow read: status %d", s)
	}
	if slow.Done {
		t.Error("the slow read came back before it could")
	}
	close(g.Open)
	if s := status(slow); s != statusOK {
		t.Errorf("slow read: status %d", s)
	}
}

// An image that has been quick for long may hold up a queue with one slow request, but other queues not at all, and this one not
// with the next.
func TestTrustInQuickImageEnds(t *testing.T) {
	image := newImage(imageSize)
	d := start(t, blk.Config{Image: image, Queues: 2})
	first, second := d.Queues[0], d.Queues[1]
	for range 200 {
		status(first.Submit([][]byte{header(typeIn, 5)}, sector, 1))
	}
	g := image.Hold(0)
	slow := first.Submit([][]byte{header(typeIn, 0)}, sector, 1)
	<-g.Reached
	if s := status(second.Submit([][]byte{header(typeIn, 5)}, sector, 1)); s != statusOK {
		t.Errorf("read on another queue: status %d", s)
	}
	time.Sleep(10 * time.Millisecond) // this is what makes it slow
	close(g.Open)
	status(slow)

	g = image.Hold(0)
	slow = first.Submit([][]byte{header(typeIn, 0)}, sector, 1)
	<-g.Reached
	if s := status(first.Submit([][]byte{header(typeIn, 5)}, sector, 1)); s != statusOK || slow.Done {
		t.Errorf("read behind the second slow one: status %d", s)
	}
	close(g.Open)
	status(slow)
}

// Requests that come together and are served quickly are returned together, with an interrupt for many.
func TestOneInterruptForMany(t *testing.T) {
	const rounds, depth = 50, 16
	d := virtiotest.New(t, newDevice(t, blk.Config{Image: newImage(imageSize)}))
	d.Start(featureFlush) // without EVENT_IDX the driver is interrupted as often as it is told of anything
	q := d.Queues[0]
	for range 100 {
		status(q.Submit([][]byte{header(typeIn, 5)}, sector, 1))
	}
	before := d.Interrupts.Count(1)
	for range rounds {
		var requests []*virtiotest.Request
		for i := range depth {
			requests = append(requests, q.Add([][]byte{header(typeIn, uint64(2*i%8))}, sector, 1))
		}
		q.Kick()
		for _, r := range requests {
			if s := status(r); s != statusOK {
				t.Fatalf("status %d", s)
			}
		}
	}
	// The worker may begin before all are there, and a busy host may make some slow.
	if n := d.Interrupts.Count(1) - before; n > rounds*depth/4 {
		t.Errorf("%d interrupts for %d batches of %d requests", n, rounds, depth)
	}
}

// More requests than slots, all stuck: the rest waits in the ring and is served later.
func TestMoreThanSlots(t *testing.T) {
	image := newImage(imageSize)
	g := image.Hold(0)
	d := start(t, blk.Config{Image: image})
	q := d.Queues[0]
	q.Indirect = true
	var requests []*virtiotest.Request
	for range 200 {
		requests = append(requests, q.Submit([][]byte{header(typeIn, 0)}, 512, 1))
	}
	<-g.Reached
	close(g.Open)
	for i, r := range requests {
		if s := status(r); s != statusOK {
			t.Errorf("request %d: status %d", i, s)
		}
	}
}

func TestMultiQueue(t *testing.T) {
	const queues, each = 4, 60
	image := newImage(imageSize)
	d := start(t, blk.Config{Image: &vectorImage{Image: image}, Queues: queues})
	if n := len(d.Queues); n != queues {
		t.Fatalf("%d queues", n)
	}
	var requests []*virtiotest.Request
	for i := range each {
		for _, q := range d.Queues {
			at := i*queues + q.Index
			requests = append(requests, q.Submit([][]byte{header(typeOut, uint64(at)), pattern(byte(at), sector)}, 1))
		}
	}
	for _, r := range requests {
		if s := status(r); s != statusOK {
			t.Fatalf("status %d", s)
		}
	}
	for at := range queues * each {
		if !bytes.Equal(image.Content(at*sector, sector), pattern(byte(at), sector)) {
			t.Errorf("sector %d is wrong", at)
		}
	}
}

// batch submits requests so that the device takes them all at once.
func batch(d *virtiotest.Driver, add func(q *virtiotest.Queue)) {
	d.Transport.Pause()
	add(d.Queues[0])
	d.Transport.Resume()
}

func TestAdjacentRequestsTravelTogether(t *testing.T) {
	image := &vectorImage{Image: newImage(imageSize)}
	d := start(t, blk.Config{Image: image})
	var requests []*virtiotest.Request
	batch(d, func(q *virtiotest.Queue) {
		for i := range 8 {
			requests = append(requests, q.Add([][]byte{header(typeOut, uint64(10+i)), pattern(byte(i), sector)}, 1))
		}
		requests = append(requests, q.Add([][]byte{header(typeOut, 100), pattern(100, sector)}, 1))
		requests = append(requests, q.Add([][]byte{header(typeIn, 101)}, sector, 1)) // another direction
	})
	for _, r := range requests {
		if s := status(r); s != statusOK {
			t.Errorf("status %d", s)
		}
	}
	for i := range 8 {
		if !bytes.Equal(image.Content((10+i)*sector, sector), pattern(byte(i), sector)) {
			t.Errorf("sector %d is wrong", 10+i)
		}
	}
	if n, longest := image.vectors.Load(), image.longest.Load(); n != 3 || longest != 8 {
		t.Errorf("%d transfers of up to %d buffers, want 3 and 8", n, longest)
	}
}

// When one of several joined requests fails, the others do not.
func TestFailureIsNotShared(t *testing.T) {
	for _, vectored := range []bool{false, true} {
		var logged bytes.Buffer
		image := newImage(imageSize)
		image.FailAt.Store(12 * sector)
		c := blk.Config{Image: image, Log: slog.New(slog.NewTextHandler(&logged, nil))}
		if vectored {
			c.Image = &vectorImage{Image: image}
		}
		d := start(t, c)
		for range 3 {
			var requests []*virtiotest.Request
			batch(d, func(q *virtiotest.Queue) {
				for i := range 5 {
					requests = append(requests, q.Add([][]byte{header(typeIn, uint64(10+i))}, sector, 1))
				}
			})
			for i, r := range requests {
				want := byte(statusOK)
				if i == 2 {
					want = statusIOError
				}
				if s := status(r); s != want {
					t.Errorf("vectored %v: request %d: status %d, want %d", vectored, i, s, want)
				}
			}
		}
		if n := strings.Count(logged.String(), "\n"); n != 1 || !strings.Contains(logged.String(), "medium error") {
			t.Errorf("three failures of a kind gave %d lines:\n%s", n, &logged)
		}
	}
}

// Whether a write is durable when it completes (virtio 1.2, section 5.2.6.2).
func TestCacheModes(t *testing.T) {
	tests := []struct {
		name         string
		writeThrough bool
		features     uint64
		writeback    int // what the driver writes to the field; -1: nothing
		want         bool
	}{
		{"write-back", false, featureFlush | featureConfigWCE, -1, false},
		{"driver chooses write-through", false, featureFlush | featureConfigWCE, 0, true},
		{"driver chooses write-back", false, featureFlush | featureConfigWCE, 1, false},
		{"flushing driver", false, featureFlush, -1, false},
		{"driver that cannot flush", false, 0, -1, true},
		{"driver that could choose but not flush", false, featureConfigWCE, -1, true},
		{"configured", true, featureFlush | featureConfigWCE, 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			image := newImage(imageSize)
			d := virtiotest.New(t, newDevice(t, blk.Config{Image: image, WriteThrough: test.writeThrough}))
			d.Start(test.features)
			if test.writeback >= 0 {
				d.SetDeviceConfig(32, []byte{byte(test.writeback)})
			}
			for i := range int32(3) {
				status(d.Queues[0].Submit([][]byte{header(typeOut, 0), make([]byte, sector)}, 1))
				if durable := image.Durable.Load() == i+1; durable != test.want {
					t.Errorf("after write %d: durable %v, want %v", i+1, durable, test.want)
				}
			}
			before := image.Flushes.Load()
			status(d.Queues[0].Submit([][]byte{header(typeZeroes, 0), zeroRange(0, 1, 0)}, 1))
			if durable := image.Flushes.Load() > before; durable != test.want {
				t.Errorf("zeroes: durable %v, want %v", durable, test.want)
			}
		})
	}
}

func TestConfigSpace(t *testing.T) {
	image := imagetest.New(imageSize+300, disk.Info{SectorSize: 4096}) // the odd end cannot be reached
	d := start(t, blk.Config{Image: image, Queues: 3})
	le := binary.LittleEndian
	c := d.DeviceConfig(0, 60)
	if n := le.Uint64(c); n != imageSize/sector {
		t.Errorf("capacity %d sectors", n)
	}
	if n := le.Uint32(c[20:]); n != 4096 {
		t.Errorf("block size %d", n)
	}
	if n := le.Uint16(c[34:]); n != 3 {
		t.Errorf("%d queues", n)
	}
	if segments := le.Uint32(c[12:]); segments == 0 || segments+2 > uint32(d.Queues[0].Size) {
		t.Errorf("requests of %d segments do not fit a queue of %d", segments, d.Queues[0].Size)
	}
	if c[32] != 1 || c[33] != 0 || c[56] != 1 || !bytes.Equal(c[57:], []byte{0, 0, 0}) {
		t.Errorf("cache mode or padding: % x", c[32:])
	}
	before := d.DeviceConfig(0, 60)
	d.SetDeviceConfig(0, bytes.Repeat([]byte{0xff}, 60))
	d.SetDeviceConfig(32, []byte{1})
	if after := d.DeviceConfig(0, 60); !bytes.Equal(before, after) {
		t.Errorf("a driver changed the configuration:\n% x\n% x", before, after)
	}

	ro := virtiotest.New(t, newDevice(t, blk.Config{Image: image, ReadOnly: true}))
	if f := ro.Offered(); f&featureReadOnly == 0 || f&(1<<13|1<<14|featureConfigWCE|featureMQ) != 0 {
		t.Errorf("read-only device offers %#x", f)
	}
}

func TestResize(t *testing.T) {
	image := newImage(imageSize)
	device := newDevice(t, blk.Config{Image: image})
	device.Resized() // before a driver is there
	d := virtiotest.New(t, device)
	d.Start(allFeatures)
	image.Grow(imageSize)
	device.Resized()
	d.AwaitConfigChange()
	if n := binary.LittleEndian.Uint64(d.DeviceConfig(0, 8)); n != 2*imageSize/sector {
		t.Errorf("capacity %d", n)
	}
	if s := status(d.Queues[0].Submit([][]byte{header(typeIn, imageSize/sector)}, sector, 1)); s != statusOK {
		t.Errorf("read of the new space: status %d", s)
	}
}

// A reset waits for what is on its way, and forgets what has not begun.
func TestResetInFlight(t *testing.T) {
	image := newImage(imageSize)
	g := image.Hold(0)
	d := start(t, blk.Config{Image: image, Executors: 1})
	d.Queues[0].Submit([][]byte{header(typeIn, 0)}, sector, 1)
	<-g.Reached
	d.Queues[0].Submit([][]byte{header(typeOut, 1), pattern(1, sector)}, 1) // behind it
	var released, early atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Reset()
		early.Store(!released.Load())
	}()
	released.Store(true)
	close(g.Open)
	<-done
	if early.Load() {
		t.Error("the reset was over while a read was in flight")
	}
	d.Start(allFeatures)
	if s := status(d.Queues[0].Submit([][]byte{header(typeOut, 2), pattern(2, sector)}, 1)); s != statusOK {
		t.Errorf("after the reset: status %d", s)
	}
}

func TestPauseFinishesWhatIsInFlight(t *testing.T) {
	image := newImage(imageSize)
	g := image.Hold(0)
	d := start(t, blk.Config{Image: image, Executors: 1})
	q := d.Queues[0]
	first := q.Submit([][]byte{header(typeIn, 0)}, sector, 1)
	<-g.Reached
	paused := make(chan struct{})
	go func() { d.Transport.Pause(); close(paused) }()
	close(g.Open)
	<-paused
	for r := q.Poll(); r != nil; r = q.Poll() {
	}
	if !first.Done {
		t.Error("a request was still in flight after Pause")
	}
	late := q.Submit([][]byte{header(typeIn, 1)}, sector, 1)
	if q.Poll() != nil {
		t.Error("a paused device served a request")
	}
	d.Transport.Resume()
	if s := status(late); s != statusOK {
		t.Errorf("after Resume: status %d", s)
	}
}

func TestSnapshotCycle(t *testing.T) {
	image := newImage(imageSize)
	step := byte(0)
	virtiotest.SnapshotCycle(t,
		func() virtio.Device { return newDevice(t, blk.Config{Image: image, Queues: 2}) },
		func(t *testing.T, d *virtiotest.Driver) {
			if d.Queues == nil {
				d.Start(allFeatures)
				d.SetDeviceConfig(32, []byte{0})
			}
			step++
			for _, q := range d.Queues {
				data := pattern(step, sector)
				if s := status(q.Submit([][]byte{header(typeOut, uint64(step)), data}, 1)); s != statusOK {
					t.Errorf("write: status %d", s)
				}
				r := q.Submit([][]byte{header(typeIn, uint64(step))}, sector, 1)
				if s := status(r); s != statusOK || !bytes.Equal(r.Data()[:sector], data) {
					t.Errorf("read: status %d", s)
				}
			}
			if got := d.DeviceConfig(32, 1)[0]; got != 0 {
				t.Error("the cache mode was lost")
			}
			if image.Durable.Load() != image.Writes.Load() {
				t.Error("a write was not durable")
			}
		})
}

func TestPanickingImage(t *testing.T) {
	image := newImage(imageSize)
	image.PanicAt.Store(0)
	d := start(t, blk.Config{Image: image})
	for range 10 { // more than there are executors
		d.Queues[0].Submit([][]byte{header(typeIn, 0)}, sector, 1)
	}
	d.AwaitReset()
	image.PanicAt.Store(-1)
	d.Start(allFeatures)
	if s := status(d.Queues[0].Submit([][]byte{header(typeIn, 0)}, sector, 1)); s != statusOK {
		t.Errorf("after the reset: status %d", s)
	}
}

func TestNewRefuses(t *testing.T) {
	odd := imagetest.New(imageSize, disk.Info{SectorSize: 520})
	for name, c := range map[string]blk.Config{
		"long serial":  {Image: newImage(0), Serial: strings.Repeat("x", 21)},
		"queues":       {Image: newImage(0), Queues: 65},
		"queue size":   {Image: newImage(0), QueueSize: 100},
		"executors":    {Image: newImage(0), Executors: -1},
		"sector size":  {Image: odd},
		"minus queues": {Image: newImage(0), Queues: -1},
	} {
		if _, err := blk.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
