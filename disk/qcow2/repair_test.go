package qcow2_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
)

// damages are what can be wrong with an image in clusters of 4 KiB.
func damages() []disktest.Damage {
	change := func(fn func(p []byte)) func(testing.TB, string, disk.Files) {
		return func(_ testing.TB, path string, files disk.Files) {
			rec := files.(*disktest.Recorder)
			p := rec.Get(path)
			fn(p)
			rec.Put(path, p)
		}
	}
	count := func(p []byte, cluster int64, n uint16) { binary.BigEndian.PutUint16(p[blockAt(p)+2*cluster:], n) }
	// entry returns the place in the file of the nth entry of the first L2 table that has one.
	entry := func(p []byte, n int) int64 {
		for at := l2At(p); ; at += 8 {
			if get64(p, at) != 0 {
				if n--; n < 0 {
					return at
				}
			}
		}
	}
	used := func(p []byte, n int) int64 { return get64(p, entry(p, n)) / cluster }
	return []disktest.Damage{
		{Name: "leak", Worst: disk.Leak, Do: change(func(p []byte) { count(p, int64(len(p))/cluster+5, 1) })},
		{Name: "refcount 0", Worst: disk.Repairable, Do: change(func(p []byte) { count(p, used(p, 3), 0) })},
		{Name: "refcount 2", Worst: disk.Repairable, Do: change(func(p []byte) { count(p, used(p, 3), 2) })},
		{Name: "refcounts of tables 0", Worst: disk.Repairable, Do: change(func(p []byte) {
			for _, at := range []int64{0, l1At(p), l2At(p), blockAt(p)} {
				count(p, at/cluster, 0)
			}
		})},
		{Name: "flag missing", Worst: disk.Repairable, Do: change(func(p []byte) { p[entry(p, 2)] &^= 0x80 })},
		{Name: "flags of L1 missing", Worst: disk.Repairable, Do: change(func(p []byte) { p[l1At(p)] &^= 0x80 })},
		{Name: "dirty", Worst: disk.Repairable, Do: change(func(p []byte) { p[79] |= 1; count(p, used(p, 0), 0) })},
		{Name: "marked corrupt", Worst: disk.Repairable, Do: change(func(p []byte) { p[79] |= 2 })},
		{Name: "no refcount block", Worst: disk.Repairable, Do: change(func(p []byte) { put64(get64(p, 48), 0)(p) })},
		{Name: "refcount block away", Worst: disk.Repairable, Do: change(func(p []byte) { put64(get64(p, 48), 1<<50)(p) })},
		{Name: "refcount block is data", Worst: disk.Damage, Do: change(func(p []byte) { put64(get64(p, 48), uint64(get64(p, entry(p, 1))))(p) })},
		{Name: "refcount block twice", Worst: disk.Damage, Do: change(func(p []byte) { put64(get64(p, 48)+8, uint64(blockAt(p)))(p) })},
		{Name: "clusters share a place", Worst: disk.Damage, Beyond: true, Do: change(func(p []byte) {
			copy(p[entry(p, 2):][:8], p[entry(p, 5):])
		})},
		{Name: "cluster away", Worst: disk.Damage, Beyond: true, Do: change(func(p []byte) { put64(entry(p, 2), 1<<50|copied)(p); p[79] |= 2 })},
		{Name: "cluster is L1", Worst: disk.Damage, Beyond: true, Do: change(func(p []byte) { put64(entry(p, 2), uint64(l1At(p))|copied)(p) })},
	}
}

func TestRepair(t *testing.T) {
	s := subjects()["v3"]
	s.Options.BlockSize = cluster
	disktest.Repair(t, s, damages()...)
}
