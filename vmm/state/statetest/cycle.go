// Package statetest is the snapshot test that every device passes.
package statetest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
)

// Cycle pauses dev, saves it, restores the state into the device that fresh makes, and resumes that one, which it returns. On the
// way it checks what every device owes: pausing twice is pausing once, saving changes nothing, a restored device saves
// the same bytes, reads all of its state and no more, and a truncated state is an error that wraps state.ErrCorrupt.
func Cycle(t testing.TB, dev state.Device, fresh func() state.Device) state.Device {
	t.Helper()
	dev.Pause()
	dev.Pause()
	saved := save(dev)
	if again := save(dev); !bytes.Equal(saved, again) {
		t.Fatalf("saving twice gave different states:\n%x\n%x", saved, again)
	}
	for _, n := range cuts(len(saved)) {
		if err := fresh().Restore(state.NewReader(saved[:n])); !errors.Is(err, state.ErrCorrupt) {
			t.Fatalf("state cut to %d of %d bytes: error %v, want one that wraps ErrCorrupt", n, len(saved), err)
		}
	}
	restored := fresh()
	const sentinel = 0x5a
	r := state.NewReader(append(bytes.Clone(saved), sentinel))
	if err := restored.Restore(r); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if v := r.U8(); v != sentinel || r.Err() != nil {
		t.Fatalf("restore left %#x at the end of its state, error %v", v, r.Err())
	}
	if again := save(restored); !bytes.Equal(saved, again) {
		t.Fatalf("the restored device saves another state:\n%x\n%x", saved, again)
	}
	restored.Resume()
	return restored
}

// Hand has fresh go on where dev is, in the middle of a test that works on with it: little is checked but that it saves the same state.
func Hand(t testing.TB, dev, fresh state.Device) {
	t.Helper()
	dev.Pause()
	saved := save(dev)
	if err := fresh.Restore(state.NewReader(saved)); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if again := save(fresh); !bytes.Equal(saved, again) {
		t.Fatalf("the restored device saves another state:\n%x\n%x", saved, again)
	}
	fresh.Resume()
}

func save(dev state.Device) []byte {
	var w state.Writer
	dev.Save(&w)
	return w.Data()
}

// cuts returns lengths below n at which to truncate: the short ones, the longest, and some between.
func cuts(n int) []int {
	var at []int
	for i := 0; i < n; i += 1 + i/4 {
		at = append(at, i)
	}
	if n > 0 {
		at = append(at, n-1)
	}
	return at
}
