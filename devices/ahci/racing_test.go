//go:build !race

package ahci

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/vmm/memory/memorytest"
)

// TestRacingWriter has a guest rewrite a command, its frame and its pieces of memory while the adapter reads them. Whatever it gets to see, the port comes to rest,
// and works once it was started anew.
func TestRacingWriter(t *testing.T) {
	image := atatest.NewImage(64 << 10)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	le := binary.LittleEndian
	stop := memorytest.Beside(t, func(i int) {
		le.PutUint32(d.ram[lists:], []uint32{5 | 8<<16, 5 | 1<<16, 5 | 0xffff<<16, 2, 5 | headerPacket}[i%5])
		le.PutUint64(d.ram[lists+8:], []uint64{tables, tables, ramSize - 128, ^uint64(0) &^ 127}[i/5%4])
		frame := d.ram[tables:][:tablePRDT]
		frame[i%16] = []byte{fisToDevice, fisCommand, 0x25, 0x60, 0xec, 0xff, byte(i)}[i/16%7]
		piece := d.ram[tables+tablePRDT+i%8*prdSize:]
		le.PutUint64(piece, []uint64{buffers, buffers + 512, ramSize - 2, ramSize, ^uint64(0) &^ 1}[i%5])
		le.PutUint32(piece[12:], []uint32{511, 1, 0x3fffff, ^uint32(0)}[i%4])
	})
	sound := request{op: 0x25, count: 8, device: 0x40, data: []piece{{buffers, 4096}}}
	for range 40000 {
		d.issue(0, sound)
		const failed = intTaskFile | 1<<27 | 1<<28 | 1<<29 // or the adapter's own errors: PxIS.IFS, HBDS, HBFS
		for d.get(at(0, portIssue)) != 0 && d.get(at(0, portStatus))&failed == 0 {
			yield()
		}
		d.stop(0)
		d.start(0)
	}
	stop()
	for _, r := range []request{{control: true}, sound} { // the drive may have been told to stay in reset
		d.issue(0, r)
		for d.get(at(0, portIssue)) != 0 {
			yield()
		}
	}
	if task := d.get(at(0, portTask)); task&0xff != 0x50 {
		t.Errorf("task file %#x of a sound command afterwards", task)
	}
}
