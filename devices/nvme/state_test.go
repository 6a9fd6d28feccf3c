package nvme_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/devices/nvme"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// migrate takes the controller through a snapshot into a fresh one, in a machine with the same RAM; the driver goes on with that.
func (d *driver) migrate(c nvme.Config) {
	d.t.Helper()
	old := d.dev
	statetest.Cycle(d.t, old, func() state.Device {
		if d.dev != old {
			d.detach()
		}
		d.attach(d.make(c))
		return d.dev
	})
	if err := old.Close(); err != nil {
		d.t.Errorf("close: %v", err)
	}
}

func TestSnapshots(t *testing.T) {
	image := newImage(imageSize)
	c := one(image)
	c.QueuePairs = 3
	d := newDriver(t, c, false)
	d.migrate(c)
	d.enable()
	d.migrate(c)
	q := d.pair(2, 8, 4)
	d.admin.must(cmd(setFeatures, 0, 0, 0, 6, 0))
	waits := d.admin.submit(cmd(asyncEvent, 0, 0, 0))
	buf := d.alloc(1)
	use := func(seed byte) {
		t.Helper()
		copy(d.ram(buf, page), pattern(seed, page))
		q.must(transfer(write, uint64(seed), 8, buf, 0))
		if !bytes.Equal(image.Content(int(seed)*512, page), pattern(seed, page)) {
			t.Error("the image does not hold what was written")
		}
	}
	for seed := range byte(5) {
		use(seed)
		d.migrate(c)
	}
	if image.Flushes.Load() != 5 {
		t.Errorf("the cache was off, but there were %d flushes", image.Flushes.Load())
	}
	// With completions that the driver has not taken, and commands that wait for room.
	for range 6 {
		q.offer(transfer(read, 0, 1, buf, 0))
	}
	q.ring()
	d.migrate(c)
	for range 6 {
		if a := q.next(); a.status != 0 {
			t.Errorf("status %#x", a.status)
		}
	}
	d.store(barBase+0x1008, 4, 0)
	if a := d.admin.next(); a.id != waits {
		t.Errorf("completion of command %d, want that of the event request, %d", a.id, waits)
	}
	values, events := d.alloc(1), d.alloc(1)
	d.admin.must(cmd(doorbellBuffer, 0, values, events))
	d.migrate(c)
	if len(d.kernel.bells) != 3 {
		t.Errorf("the kernel answers %d doorbells", len(d.kernel.bells))
	}
	d.enable()
	d.migrate(c)
}

// TestSnapshotOfAReset saves a controller whose reset waits for the image: the snapshot waits as well.
func TestSnapshotOfAReset(t *testing.T) {
	image := newImage(imageSize)
	c := one(image)
	d, q := start(t, c)
	hold := image.Hold(imagetest.Everywhere)
	q.submit(transfer(read, 0, 1, d.alloc(1), 0))
	<-hold.Reached
	d.setReg(regCC, 0)
	image.Release()
	close(hold.Open)
	d.migrate(c)
	if s := d.reg(regCSTS); s != 0 {
		t.Errorf("CSTS %#x", s)
	}
}
