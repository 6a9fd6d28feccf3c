package transport_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzTransport does arbitrary accesses to the BARs and to PCI configuration space, with snapshots of the running device restored in
// between, and then expects a driver that does everything right to succeed. Each step of 12 bytes is: what to do, a width, an
// offset and a value.
func FuzzTransport(f *testing.F) {
	step := func(what, width uint8, off uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64([]byte{what, width, byte(off), byte(off >> 8)}, v)
	}
	join := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	f.Add(true, join(step(0, 1, regStatus, 0), step(0, 1, regStatus, 1), step(3, 0, 0, 0), step(0, 1, regStatus, 3)))
	f.Add(true, join(step(0, 2, regQueueReset, 1), step(3, 0, 0, 0), step(0, 8, regQueueDesc, 0x10008), step(0, 2, regQueueEnable, 1)))
	f.Add(false, join(step(0, 4, 8, 1), step(0, 4, 0xc, 1), step(0, 1, regStatus, 15), step(3, 0, 0, 0)))
	f.Add(true, join(step(2, 4, 0x10, 0xffffffff), step(2, 4, 0x10, 0xb0000000), step(3, 0, 0, 0), step(2, 2, 4, 0)))
	f.Add(true, join(step(0, 8, 0x4000, 1), step(0, 4, 0x400c, 1), step(0, 4, 0x3000, 0), step(1, 8, 0x0ffc, 0), step(2, 2, 0x42, 0x8000)))
	f.Add(true, join(step(4, 1, 0, 0), step(4, 7, 6, 1), step(2, 2, 4, 6), step(4, 1, 4, 1), step(3, 0, 0, 0), step(4, 1, 8, 2)))
	f.Fuzz(func(t *testing.T, started bool, steps []byte) {
		d := virtiotest.NewOnPorts(t, new(echo))
		bar := d.Address(virtiotest.Common)
		if started {
			d.Start(allFeatures)
		}
		for n := 0; len(steps) >= 12 && n < 200; n++ {
			width, off, v := int(steps[1]%8)+1, uint64(binary.LittleEndian.Uint16(steps[2:])), binary.LittleEndian.Uint64(steps[4:])
			switch steps[0] % 5 {
			case 0:
				d.Write(bar+off%0x8000, width, v)
			case 1:
				d.Read(bar+off%0x8000, width)
			case 2:
				d.SetConfig(int(off%0x1000), width, v)
				d.Config(int(off%0x1000), width)
			case 3:
				if err := d.Restore(d.Save()); err != nil {
					t.Fatalf("a state that was just saved: %v", err)
				}
			case 4:
				d.Ring(off%16, width, v)
			}
			steps = steps[12:]
		}
		d.Probe()
		d.Start(allFeatures)
		works(t, d, 0)
		works(t, d, 1)
	})
}

// FuzzRestore feeds arbitrary snapshots to the transport. They may be refused or start a device, but leave one that can be reset.
func FuzzRestore(f *testing.F) {
	d := virtiotest.New(f, new(echo))
	f.Add(d.Save())
	d.Start(allFeatures)
	f.Add(d.Save())
	d.Queues[0].Submit([][]byte{{1}}, 1).Wait()
	f.Add(d.Save())
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		d := virtiotest.New(t, new(echo))
		_ = d.Restore(snapshot)
		d.Probe()
		d.Start(allFeatures)
		works(t, d, 0)
	})
}
