package balloon

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

const allFeatures = ^uint64(0)

// host clears what is given back to it, and counts.
type host struct {
	mu     sync.Mutex
	calls  int
	pages  int
	broken error
}

func (h *host) discard(p []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(p)
	h.calls++
	h.pages += len(p) / pageSize
	return h.broken
}

// take returns what has been given back since it was called last.
func (h *host) take() (calls, pages int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls, pages = h.calls, h.pages
	h.calls, h.pages = 0, 0
	return calls, pages
}

// numbers is a list of pages as drivers write it.
func numbers(pages ...uint32) (b []byte) {
	for _, p := range pages {
		b = binary.LittleEndian.AppendUint32(b, p)
	}
	return b
}

func statistic(tag uint16, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(nil, tag), v)
}

// fill writes a mark into pages of RAM from the given one on.
func fill(d *virtiotest.Driver, page uint64, n int) {
	p := d.RAM(page*pageSize, n*pageSize)
	for i := range p {
		p[i] = 0xa5
	}
}

// gone counts the pages of n that hold nothing.
func gone(d *virtiotest.Driver, page uint64, n int) (empty int) {
	for i := range n {
		if p := d.RAM((page+uint64(i))*pageSize, pageSize); p[0] == 0 && p[pageSize-1] == 0 {
			empty++
		}
	}
	return empty
}

func TestInflateDiscardsRuns(t *testing.T) {
	var h host
	d := virtiotest.New(t, New(h.discard))
	d.Start(allFeatures)
	fill(d, 0x1000, 16)
	d.Queues[inflateQueue].Submit([][]byte{numbers(0x1001, 0x1002, 0x1003), numbers(0x1004, 0x1008, 0x100a), {1, 2, 3}}).Wait()
	if calls, pages := h.take(); calls != 3 || pages != 6 {
		t.Errorf("%d pages in %d calls, want 6 in 3", pages, calls)
	}
	if n := gone(d, 0x1000, 16); n != 6 {
		t.Errorf("%d pages are gone, want 6", n)
	}
	d.Queues[deflateQueue].Submit([][]byte{numbers(0x1001, 0x1002)}).Wait()
	if _, pages := h.take(); pages != 0 {
		t.Errorf("deflating gave %d pages away", pages)
	}
}

func TestPageOutsideRAM(t *testing.T) {
	for _, page := range []uint32{virtiotest.RAMSize / pageSize, 0xffffffff, 0xb0000} {
		d := virtiotest.New(t, New(new(host).discard))
		d.Start(allFeatures)
		d.Queues[inflateQueue].Submit([][]byte{numbers(0x1000, page)})
		d.AwaitReset()
		d.Start(allFeatures)
		d.Queues[inflateQueue].Submit([][]byte{numbers(0x1000)}).Wait()
	}
	// A list that runs off the end of RAM.
	d := virtiotest.New(t, New(new(host).discard))
	d.Start(allFeatures)
	last := uint32(virtiotest.RAMSize/pageSize - 1)
	d.Queues[inflateQueue].Submit([][]byte{numbers(last)}).Wait()
	d.Queues[inflateQueue].Submit([][]byte{numbers(last, last+1)})
	d.AwaitReset()
}

func TestListIsBounded(t *testing.T) {
	d := virtiotest.New(t, New(new(host).discard))
	d.Start(allFeatures)
	list := make([]byte, 4*virtiotest.RAMSize/pageSize)
	d.Queues[inflateQueue].Submit([][]byte{list[:len(list)-4], make([]byte, 4)}).Wait()
	d.Queues[inflateQueue].Submit([][]byte{list, make([]byte, 4)})
	d.AwaitReset()
}

func TestHostRefuses(t *testing.T) {
	h := host{broken: errors.New("no")}
	d := virtiotest.New(t, New(h.discard))
	d.Start(allFeatures)
	d.Queues[inflateQueue].Submit([][]byte{numbers(0x1000)})
	d.AwaitReset()
}

// TestReports uses the queues as drivers number them.
func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		features uint64
		queue    int
	}{
		"as specified":                   {allFeatures, 4},
		"counted":                        {allFeatures, 3},
		"counted and without statistics": {allFeatures &^ featureStats, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var h host
			d := virtiotest.New(t, New(h.discard))
			d.Negotiate(c.features)
			for _, i := range []int{inflateQueue, deflateQueue, c.queue} {
				d.SetupQueue(i, 0)
			}
			d.DriverOK()
			fill(d, 0x1000, 1)
			r := d.Queues[c.queue].Submit([][]byte{{1}}, 8*pageSize, pageSize)
			r.Wait()
			if calls, pages := h.take(); calls != 2 || pages != 9 || r.Written != 0 {
				t.Errorf("%d pages in %d calls, %d bytes written; want 9 in 2, and none", pages, calls, r.Written)
			}
			if gone(d, 0x1000, 1) != 0 {
				t.Error("a page that was not reported is gone")
			}
		})
	}
}

func TestPoisonedPagesStay(t *testing.T) {
	var h host
	d := virtiotest.New(t, New(h.discard))
	for poison, want := range map[byte]int{0: 1, 0xaa: 0} {
		d.Start(allFeatures)
		d.SetDeviceConfig(configPoison, []byte{poison, poison, poison, poison})
		d.Queues[4].Submit(nil, pageSize).Wait()
		if _, pages := h.take(); pages != want {
			t.Errorf("poison %#x: %d pages given back, want %d", poison, pages, want)
		}
	}
	d.Start(allFeatures &^ featurePagePoison)
	d.SetDeviceConfig(configPoison, []byte{1})
	d.Queues[4].Submit(nil, pageSize).Wait()
	if _, pages := h.take(); pages != 1 {
		t.Error("a poison that was not negotiated counts")
	}
}

func TestTarget(t *testing.T) {
	dev := New(new(host).discard)
	dev.SetTarget(1 << 20)
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	dev.SetTarget(3*pageSize + 1)
	d.AwaitConfigChange()
	if got := binary.LittleEndian.Uint32(d.DeviceConfig(configTarget, 4)); got != 3 || dev.Target() != 3*pageSize {
		t.Errorf("the driver is asked for %d pages, the target is %d", got, dev.Target())
	}
	d.SetDeviceConfig(0, []byte{9, 9, 9, 9, 2, 0, 0, 0, 9, 9, 9, 9})
	if dev.Actual() != 2*pageSize || dev.Target() != 3*pageSize {
		t.Errorf("actual %d, target %d", dev.Actual(), dev.Target())
	}
	if hint := d.DeviceConfig(8, 4); string(hint) != "\x00\x00\x00\x00" {
		t.Errorf("the driver has written the host's field: % x", hint)
	}
	d.Reset()
	if dev.Actual() != 0 || dev.Target() != 3*pageSize {
		t.Errorf("after a reset: actual %d, target %d", dev.Actual(), dev.Target())
	}
	dev.SetTarget(1 << 63)
	if dev.Target() != (1<<32-1)*pageSize {
		t.Errorf("target %#x", dev.Target())
	}
}

func TestStats(t *testing.T) {
	dev := New(new(host).discard)
	dev.RequestStats() // nobody to ask
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	q := d.Queues[statsQueue]
	first := q.Submit([][]byte{statistic(4, 100), statistic(5, 200)[:7], statistic(5, 200)[7:], statistic(999, 1), {1}})
	second := q.Add([][]byte{statistic(4, 300)})
	dev.RequestStats()
	first.Wait()
	awaitStats(t, dev, func(s Stats) bool { return s == Stats{Free: 300} })
	if second.Done {
		t.Error("the second buffer came back unasked")
	}
	// A buffer that the device holds is still asked for after a pause.
	d.Transport.Pause()
	d.Transport.Resume()
	awaitStats(t, dev, func(s Stats) bool { return s == Stats{Free: 300} })
	dev.RequestStats()
	second.Wait()
	d.Reset()
	if _, at := dev.Stats(); !at.IsZero() {
		t.Error("statistics outlive the driver")
	}
}

// awaitStats waits for a worker that announces nothing.
func awaitStats(t *testing.T, dev *Device, ok func(Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, _ := dev.Stats()
		if ok(s) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("statistics are %+v", s)
		}
	}
}

func TestQueuesOfPagesAreNeeded(t *testing.T) {
	d := virtiotest.New(t, New(new(host).discard))
	d.Negotiate(0)
	d.SetupQueue(inflateQueue, 0)
	d.DriverOK()
	if !d.NeedsReset() {
		t.Fatal("started without its queue")
	}
}

func TestSnapshotCycle(t *testing.T) {
	fresh := func() virtio.Device { return New(new(host).discard) }
	virtiotest.SnapshotCycle(t, fresh, func(t *testing.T, d *virtiotest.Driver) {
		if d.Status() == 0 {
			d.Start(allFeatures)
			d.SetDeviceConfig(configActual, []byte{7})
			d.Queues[statsQueue].Submit([][]byte{statistic(4, 100)}) // held across the snapshots
		}
		d.Queues[inflateQueue].Submit([][]byte{numbers(0x1000)}).Wait()
		d.Queues[4].Submit(nil, pageSize).Wait()
		if got := d.DeviceConfig(configActual, 1)[0]; got != 7 {
			t.Fatalf("actual is %d", got)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	d := virtiotest.New(b, New(func([]byte) error { return nil }))
	d.Start(allFeatures)
	q := d.Queues[4]
	at := d.Alloc(pageSize)
	bare := q.Bare()
	q.SetDescriptor(0, at, pageSize, virtiotest.FlagWrite, 0)
	b.ReportAllocs()
	for b.Loop() {
		q.Offer(0)
		bare.Kick()
		bare.Await(1)
	}
}
