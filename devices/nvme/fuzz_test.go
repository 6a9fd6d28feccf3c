package nvme_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/devices/nvme"
	"github.com/sharevm/vmm/vmm/state"
)

// FuzzNVMe does arbitrary accesses to registers and doorbells, over queues of commands that are made of the input, with snapshots of the
// running controller in between, and then expects a driver that does everything right to succeed. Each step of 12 bytes is: what to do,
// a width or opcode, an offset and a value.
func FuzzNVMe(f *testing.F) {
	step := func(what, width uint8, off uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64([]byte{what, width, byte(off), byte(off >> 8)}, v)
	}
	join := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	f.Add(join(step(0, 3, regCC, 0), step(3, 0, 0, 0), step(0, 3, regCC, enableBits), step(0, 3, regNSSR, 0x4e564d65)))
	f.Add(join(step(1, read, 0, 0x1234), step(1, write, 7, 3<<40), step(4, 0, 0, 0), step(3, 0, 0, 0), step(4, 1, 0, 0)))
	f.Add(join(step(2, createCQ, 1, 1<<32|15<<16|2), step(2, createSQ, 1, 2<<32|15<<16|2), step(2, deleteSQ, 0, 1), step(2, deleteCQ, 0, 1), step(3, 0, 0, 0)))
	f.Add(join(step(2, identify, 0, 1), step(2, getLog, 0, 2), step(2, asyncEvent, 0, 0), step(0, 3, 0x1ffc, 1), step(2, abort, 0, 0), step(3, 0, 0, 0)))
	f.Add(join(step(2, doorbellBuffer, 0, 0), step(1, read, 0, 0), step(0, 3, 0x1008, 3), step(3, 0, 0, 0), step(2, setFeatures, 0, 7), step(2, getFeatures, 0, 6)))
	f.Add(join(step(0, 3, regINTMS, ^uint64(0)), step(0, 7, regASQ, 1<<40), step(0, 3, regCC, 0), step(0, 3, regCC, enableBits), step(0, 7, 0x2000, 3), step(0, 3, regCC, 0x4001)))
	image := newImage(64 << 10)
	c := one(image)
	c.QueuePairs = 2
	c.Namespaces = append(c.Namespaces, nvme.Namespace{ID: 3, Image: image, ReadOnly: true})
	f.Fuzz(func(t *testing.T, steps []byte) {
		d := newDriver(t, c, len(steps)%2 == 1)
		d.enable()
		q := d.pair(1, 16, 8)
		buffers := d.alloc(4)
		queues := []*pair{q, d.admin}
		for n := 0; len(steps) >= 12 && n < 100; n++ {
			width, off, v := steps[1], binary.LittleEndian.Uint16(steps[2:]), binary.LittleEndian.Uint64(steps[4:])
			switch steps[0] % 5 {
			case 0:
				d.store(barBase+uint64(off)%0x4000, int(width%8)+1, v)
				d.load(barBase+uint64(off)%0x4000, int(width%8)+1)
			case 1, 2: // a command, with addresses near those that make sense
				on := queues[steps[0]%5-1]
				on.offer(cmd(width, uint32(off%5), buffers+uint64(off>>4), buffers+2*page+v%page, uint32(v), uint32(v>>32), uint32(v>>16), uint32(off)))
				on.ring()
			case 3:
				saved := d.save()
				if err := d.dev.Restore(state.NewReader(saved)); err != nil {
					t.Fatalf("a state that was just saved: %v", err)
				}
				d.dev.Resume()
			case 4: // the driver takes completions
				on := queues[int(width)%2]
				for range 8 {
					if _, ok := on.poll(); ok {
						on.consumed()
					}
				}
			}
			steps = steps[12:]
		}
		d.probe()
		d.next = buffers + 16*page
		d.setReg(regCC, 0)
		d.enable()
		d.pair(1, 8, 8).must(transfer(read, 1, 2, d.alloc(1), 0))
	})
}

// FuzzRestore feeds arbitrary snapshots to a controller. They may be refused or start it, but leave one that can be reset.
func FuzzRestore(f *testing.F) {
	c := one(newImage(64 << 10))
	c.QueuePairs = 2
	d := newDriver(f, c, false)
	f.Add(d.save())
	d.enable()
	f.Add(d.save())
	d.pair(2, 8, 8).must(transfer(read, 0, 1, d.alloc(1), 0))
	d.admin.must(cmd(doorbellBuffer, 0, d.alloc(1), d.alloc(1)))
	d.admin.submit(cmd(asyncEvent, 0, 0, 0))
	f.Add(d.save())
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		d := newDriver(t, c, false)
		_ = d.dev.Restore(state.NewReader(snapshot))
		d.dev.Resume()
		d.probe()
		d.enable()
		d.pair(1, 8, 8).must(transfer(read, 0, 1, d.alloc(1), 0))
	})
}
