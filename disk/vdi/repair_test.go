package vdi_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vdi"
)

// edit returns what changes the bytes of an image, for the suite of repairs.
func edit(change func(img []byte) []byte) func(testing.TB, string, disk.Files) {
	return func(t testing.TB, path string, files disk.Files) {
		rec := files.(*disktest.Recorder)
		rec.Put(path, change(rec.Get(path)))
	}
}

// stored returns the blocks that have slots.
func stored(img []byte) (blocks []int) {
	for k := range int(binary.LittleEndian.Uint32(img[vdi.BlocksAt:])) {
		if binary.LittleEndian.Uint32(img[mapAt+4*k:]) < 1<<31 {
			blocks = append(blocks, k)
		}
	}
	return blocks
}

func TestRepair(t *testing.T) {
	count := func(by int) func([]byte) []byte {
		return func(p []byte) []byte {
			n := binary.LittleEndian.Uint32(p[vdi.AllocatedAt:])
			return put(vdi.AllocatedAt, uint32(int(n)+by))(p)
		}
	}
	share := func(p []byte) []byte {
		b := stored(p)
		return entry(b[0], binary.LittleEndian.Uint32(p[mapAt+4*b[1]:]))(p)
	}
	common := []disktest.Damage{
		{Name: "count too low", Worst: disk.Repairable, Do: edit(count(-1))},
		{Name: "count too high", Worst: disk.Leak, Do: edit(count(3))},
		{Name: "room at the end", Worst: disk.Leak, Do: edit(func(p []byte) []byte { return append(p, make([]byte, 9<<20)...) })},
		{Name: "blocks share a slot", Worst: disk.Damage, Beyond: true, Do: edit(share)},
		{Name: "blocks share a slot, count too low", Worst: disk.Damage, Beyond: true, Do: edit(func(p []byte) []byte { return count(-1)(share(p)) })},
		{Name: "blocks share a slot, count too high", Worst: disk.Damage, Beyond: true, Do: edit(func(p []byte) []byte { return count(3)(share(p)) })},
		{Name: "block beyond the file", Worst: disk.Damage, Beyond: true, Do: edit(func(p []byte) []byte { return entry(stored(p)[0], 1<<30)(p) })},
	}
	// late moves the last stored block by so many slots.
	late := func(by int) func([]byte) []byte {
		return func(p []byte) []byte {
			size := int(binary.LittleEndian.Uint32(p[vdi.BlockAt:]))
			for _, b := range stored(p) {
				if e := int(binary.LittleEndian.Uint32(p[mapAt+4*b:])); blockAt+(e+1)*size == len(p) {
					block := p[blockAt+e*size:]
					p = append(append(p, make([]byte, (by-1)*size)...), block...)
					return count(by)(entry(b, uint32(e+by))(p))
				}
			}
			panic("no block ends with the file")
		}
	}
	dynamic := append([]disktest.Damage{
		{Name: "gap", Worst: disk.Leak, Do: edit(late(1))},
		{Name: "slot beyond the blocks", Worst: disk.Repairable, Do: edit(func(p []byte) []byte {
			return late(int(binary.LittleEndian.Uint32(p[vdi.BlocksAt:])))(p)
		})},
	}, common...)
	for name, s := range subjects() {
		s.Repair = vdi.Repair
		t.Run(name, func(t *testing.T) {
			if name == "fixed" {
				disktest.Repair(t, s, common...)
				return
			}
			disktest.Repair(t, s, dynamic...)
		})
	}
}
