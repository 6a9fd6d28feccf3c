package tools_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
)

// fakeArena holds one number per slot, and holds its caller to the rules of [disk.Arena]: what is moved goes to a slot that was free at the last Flush.
type fakeArena struct {
	table   []int64         // by block
	slots   map[int64]int64 // what they hold
	free    map[int64]bool  // slots that were left, until the next Flush
	most    int64           // slots that the format allows
	flushes int
	moves   int
	// durable is the table at the last Flush.
	durable []int64
	stop    func() // called before each move, if it is set
}

// newFakeArena has blocks of which some are stored, anywhere.
func newFakeArena(rng *rand.Rand, blocks, stored, slots, most int64) *fakeArena {
	a := &fakeArena{table: make([]int64, blocks), slots: map[int64]int64{}, free: map[int64]bool{}, most: most}
	for b := range a.table {
		a.table[b] = -1
	}
	places := rng.Perm(int(slots))
	for k, b := range rng.Perm(int(blocks))[:stored] {
		a.table[b] = int64(places[k])
		a.slots[a.table[b]] = int64(b)
	}
	a.durable = append([]int64{}, a.table...)
	return a
}

func (a *fakeArena) Name() string           { return "fake" }
func (a *fakeArena) BlockSize() int64       { return 1 }
func (a *fakeArena) Base() int64            { return 0 }
func (a *fakeArena) Blocks() int64          { return int64(len(a.table)) }
func (a *fakeArena) Slot(block int64) int64 { return a.table[block] }

func (a *fakeArena) Slots() int64 {
	end := int64(0)
	for s := range a.slots {
		end = max(end, s+1)
	}
	return end
}

func (a *fakeArena) Drop(int64) error { return disk.ErrUnsupported }

func (a *fakeArena) Move(block, slot int64) error {
	if a.stop != nil {
		a.stop()
	}
	from := a.table[block]
	_, taken := a.slots[slot]
	switch {
	case slot >= a.most:
		return fmt.Errorf("slot %d of %d: %w", slot, a.most, disk.ErrFull)
	case from < 0 || slot < 0 || taken:
		return fmt.Errorf("block %d from slot %d to %d: not stored, or not free", block, from, slot)
	}
	a.slots[slot], a.table[block] = block, slot
	a.free[from] = true
	a.moves++
	return a.sound()
}

// sound expects that a crash now would leave all blocks, by the table of the last Flush and by the present one.
func (a *fakeArena) sound() error {
	for _, table := range [][]int64{a.durable, a.table} {
		for b, s := range table {
			if s >= 0 && a.slots[s] != int64(b) {
				return fmt.Errorf("slot %d, which is block %d's, holds %d", s, b, a.slots[s])
			}
		}
	}
	return nil
}

func (a *fakeArena) Flush() error {
	for s := range a.free {
		delete(a.slots, s)
	}
	clear(a.free)
	copy(a.durable, a.table)
	a.flushes++
	return a.sound()
}

func (a *fakeArena) Trim() error { return nil }

// TestDefragOrder has arenas of all kinds brought in order, with little and with much room.
func TestDefragOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 400 {
		blocks := 1 + rng.Int64N(200)
		stored := rng.Int64N(blocks + 1)
		slots := stored + rng.Int64N(50)
		scratch := 1 + rng.Int64N(30)
		a := newFakeArena(rng, blocks, stored, slots, 1<<40)
		if n%4 == 0 { // as in a VDI
			a.most = max(slots, stored+1)
		}
		r, err := tools.Defragment(t.Context(), []disk.Arena{a}, tools.DefragOptions{}, scratch)
		if err != nil {
			t.Fatalf("%d of %d blocks in %d slots: %v", stored, blocks, slots, err)
		}
		if r.After > 1 || r.Blocks != stored || a.Slots() != stored || r.Moved != int64(a.moves) {
			t.Fatalf("%d blocks in %d slots: %+v", stored, a.Slots(), r)
		}
		if int64(a.moves) > 2*stored {
			t.Fatalf("%d moves for %d blocks", a.moves, stored)
		}
		if most := 2*(stored/min(scratch, a.most-stored)+2) + 6; int64(a.flushes) > most {
			t.Fatalf("%d flushes for %d blocks with %d slots of room", a.flushes, stored, scratch)
		}
		before := a.moves
		if r, err = tools.Defragment(t.Context(), []disk.Arena{a}, tools.DefragOptions{}, scratch); err != nil || a.moves != before || r.Before != r.After {
			t.Fatalf("again: %+v, %v", r, err)
		}
	}
}

// TestDefragFull has no slot to spare.
func TestDefragFull(t *testing.T) {
	a := newFakeArena(rand.New(rand.NewPCG(2, 2)), 40, 40, 40, 40)
	want := maps.Clone(a.slots)
	if _, err := tools.Defragment(t.Context(), []disk.Arena{a}, tools.DefragOptions{}, 10); err == nil || !maps.Equal(want, a.slots) {
		t.Errorf("%v", err)
	}
}

// TestDefragCanceled stops after every number of moves, and goes on.
func TestDefragCanceled(t *testing.T) {
	for most := range 120 {
		a := newFakeArena(rand.New(rand.NewPCG(3, 3)), 60, 50, 70, 1<<40)
		ctx, cancel := context.WithCancel(t.Context())
		left := most
		a.stop = func() {
			if left--; left <= 0 {
				cancel()
			}
		}
		_, err := tools.Defragment(ctx, []disk.Arena{a}, tools.DefragOptions{}, 7)
		cancel()
		if err := a.sound(); err != nil {
			t.Fatal(err)
		}
		if len(a.free) > 0 {
			t.Fatal("stopped without a flush")
		}
		a.stop = nil
		r, err2 := tools.Defragment(t.Context(), []disk.Arena{a}, tools.DefragOptions{}, 7)
		if err2 != nil || r.After != 1 {
			t.Fatalf("stopped after %d moves (%v), then: %+v, %v", most, err, r, err2)
		}
	}
}
