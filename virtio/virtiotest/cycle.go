package virtiotest

import (
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// Migrate takes the device through a snapshot into the one that fresh makes, in a machine with the same RAM and interrupts. The
// driver goes on with that one as if nothing had happened; the old one is closed. fresh is called several times.
func (d *Driver) Migrate(fresh func() virtio.Device) {
	d.T.Helper()
	old, status := d.Transport, d.Status()
	statetest.Cycle(d.T, old, func() state.Device {
		if d.Transport != old {
			d.detach()
		}
		d.attach(fresh())
		return d.Transport
	})
	if err := old.Close(); err != nil {
		d.T.Errorf("close: %v", err)
	}
	if got := d.Status(); got != status {
		d.T.Fatalf("the restored device has status %#x, the old one had %#x", got, status)
	}
}

// Save returns the state of the device, which goes on running.
func (d *Driver) Save() []byte {
	d.Transport.Pause()
	defer d.Transport.Resume()
	var w state.Writer
	d.Transport.Save(&w)
	return w.Data()
}

// Restore puts a state into the device as it stands, and lets it run.
func (d *Driver) Restore(saved []byte) error {
	err := d.Transport.Restore(state.NewReader(saved))
	d.Transport.Resume()
	return err
}

// SnapshotCycle runs use, which drives a device, before and after snapshots: of a device that nobody has touched, of one that is
// running, and of that one again. use must leave the driver started, and gets it started from the second time on.
func SnapshotCycle(t *testing.T, fresh func() virtio.Device, use func(t *testing.T, d *Driver)) {
	d := New(t, fresh())
	d.Migrate(fresh)
	for range 3 {
		use(t, d)
		d.Migrate(fresh)
	}
	use(t, d)
}
