package vhdx_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

func TestResize(t *testing.T) {
	for name, s := range subjects() {
		s.Parents = name == "small blocks"
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestRelink(t *testing.T) {
	for name, block := range map[string]int64{"usual blocks": 0, "small blocks": mib} {
		s := subjects()["dynamic"]
		s.Options = disk.CreateOptions{BlockSize: block}
		t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
	}
}

func TestArrange(t *testing.T) {
	s := subjects()["small blocks"]
	t.Run("small blocks", func(t *testing.T) { disktest.Arrange(t, s) })
	s.Parents, s.Options.BlockSize = true, 2*mib // a sector bitmap does not fill the place of a block
	t.Run("blocks of 2 MiB", func(t *testing.T) { disktest.Arrange(t, s) })
}

// spoil changes the file of an image in memory. With mended, checksums are right afterwards.
func spoil(mended bool, change func(p []byte) []byte) func(testing.TB, string, disk.Files) {
	return func(_ testing.TB, path string, files disk.Files) {
		rec := files.(*disktest.Recorder)
		p := change(rec.Get(path))
		if mended {
			vhdx.Mend(p)
		}
		rec.Put(path, p)
	}
}

// wiped spoils what lies at one place.
func wiped(at int) func(testing.TB, string, disk.Files) {
	return spoil(false, func(p []byte) []byte { clear(p[at : at+4096]); return p })
}

// abandoned leaves an image as a tool does that is killed while it moves blocks.
func abandoned(tb testing.TB, path string, files disk.Files) {
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil {
		tb.Fatal(err)
	}
	for block := range arenas[0].Blocks() {
		if arenas[0].Slot(block) < 0 {
			continue
		}
		if err := arenas[0].Move(block, arenas[0].Slots()); err != nil {
			tb.Fatal(err)
		}
	}
	if err := arenas[0].Flush(); err != nil {
		tb.Fatal(err)
	}
}

func TestRepair(t *testing.T) {
	s := subjects()["small blocks"]
	s.Repair = vhdx.Repair
	damages := []disktest.Damage{
		{Name: "first header", Do: wiped(header1), Worst: disk.Repairable},
		{Name: "second header", Do: wiped(header2), Worst: disk.Repairable},
		{Name: "first region table", Do: wiped(regions1), Worst: disk.Repairable},
		{Name: "second region table", Do: wiped(regions2), Worst: disk.Repairable},
		{Name: "region tables differ", Do: spoil(true, func(p []byte) []byte { p[regions2+12]++; return p }), Worst: disk.Repairable},
		{Name: "log", Do: abandoned, Worst: disk.Repairable},
		{Name: "leak", Do: spoil(false, func(p []byte) []byte { return append(p, make([]byte, 3*mib)...) }), Worst: disk.Leak},
		{Name: "table in disorder", Do: spoil(false, func(p []byte) []byte {
			copy(p[tableAt+8:], p[tableAt:tableAt+8]) // two blocks share a place
			clear(p[regions2 : regions2+4096])
			return append(p, make([]byte, 3*mib)...)
		}), Worst: disk.Damage, Beyond: true},
	}
	disktest.Repair(t, s, damages...)
}

// TestRepairStray has entries for what no disk of this size, or without a parent, has.
func TestRepairStray(t *testing.T) {
	s := subjects()["small blocks"]
	s.Repair = vhdx.Repair
	create := s.Create
	s.Create = func(path string, o disk.CreateOptions) error {
		o.Parent = "disk/parent.vhdx"
		if err := create(o.Parent, disk.CreateOptions{Size: o.Size, Files: o.Files}); err != nil {
			return err
		}
		return create(path, o)
	}
	disktest.Repair(t, s, disktest.Damage{
		Name: "block behind the end", Worst: disk.Repairable,
		Do: spoil(false, func(p []byte) []byte { put(p[tableAt+8*100:], blocksAt|6, 8); return p }),
	})

	// 4 GiB of blocks on, a table has an entry that only a disk with a parent needs.
	files := disktest.NewRecorder()
	if err := vhdx.Create(path, disk.CreateOptions{Size: 5 << 30, BlockSize: mib, Files: files}); err != nil {
		t.Fatal(err)
	}
	spoil(false, func(p []byte) []byte { put(p[tableAt+8*4096:], blocksAt|6, 8); return p })(t, path, files)
	for n, want := range []int{1, 0} {
		r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
		if worst, _ := r.Worst(); err != nil || len(r.Problems) != want || want > 0 && worst != disk.Repairable {
			t.Fatalf("check %d: %+v, %v", n, r, err)
		}
		if err := vhdx.Repair(path, disk.OpenOptions{Files: files}); err != nil {
			t.Fatal(err)
		}
	}
}
