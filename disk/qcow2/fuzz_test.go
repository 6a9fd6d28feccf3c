package qcow2_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

// seeds are small images, sound and not.
func seeds(tb testing.TB) [][]byte {
	return [][]byte{
		written(tb, "v3"), written(tb, "v2"), snapshotOf(written(tb, "v3")), put64(72, 1)(written(tb, "v3")),
		l2(1, 1)(written(tb, "v3")), compressed(written(tb, "v3"), []byte{1, 4, 0, 251, 255, 1, 2, 3, 4}),
	}
}

func FuzzImage(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	s := subjects()["v3"]
	f.Fuzz(func(t *testing.T, content []byte) { disktest.Exercise(t, s, content) })
}

// FuzzMaintain repairs, resizes, arranges and relinks whatever it gets. A repair that succeeds leaves nothing worse.
func FuzzMaintain(f *testing.F) {
	for _, s := range append(seeds(f), l2(1, 1<<40|copied)(written(f, "v3")), put64(cluster, 1<<40)(written(f, "v3"))) {
		f.Add(s, int64(1<<20), int64(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, size, slot int64) {
		files := disktest.NewRecorder()
		files.Put(path, content)
		o := disk.OpenOptions{Files: files}
		before, berr := qcow2.Check(path, o)
		rerr := qcow2.Repair(path, o)
		after, aerr := qcow2.Check(path, o)
		if berr == nil && aerr != nil {
			t.Fatalf("after the repair (%v): %v", rerr, aerr)
		}
		if berr == nil && rerr == nil {
			was, _ := before.Worst()
			is, faulty := after.Worst()
			if faulty && (is > was || was < disk.Damage) {
				t.Fatalf("%+v was repaired to %+v", before.Problems, after.Problems)
			}
		}
		i, err := qcow2.Open(path, o)
		if err != nil {
			return
		}
		if i.Size() < 1<<40 && size < 1<<40 { // more only takes longer
			i.Resize(size &^ 511)
		}
		if arenas, err := i.Arenas(); err == nil {
			arrange(arenas[0], slot)
		}
		i.Relink("", "")
		i.Close()
		if i, err := qcow2.Open(path, o); err == nil {
			i.Close()
		}
	})
}

// arrange moves and drops the first blocks that are stored.
func arrange(a disk.Arena, slot int64) {
	slot = min(max(slot, 0), a.Slots()+100)
	for block := range min(a.Blocks(), 100) {
		if a.Slot(block) < 0 {
			continue
		}
		if block%3 == 0 {
			a.Drop(block)
		} else {
			a.Move(block, slot)
			slot++
		}
		if block%7 == 0 {
			a.Flush()
		}
	}
	a.Flush()
	a.Trim()
}
