package vmm_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
)

// countingCode is a guest that stores 1, 2, 3, ... to port 0x500.
var countingCode = []byte{
	0xba, 0x00, 0x05, // mov dx, 0x500
	0x31, 0xc9, // xor cx, cx
	0x41,       // again: inc cx
	0x89, 0xc8, // mov ax, cx
	0xef,       // out dx, ax
	0xeb, 0xfa, // jmp again
}

// counter hands on what the guest stores.
type counter chan uint16

func (c counter) Read(uint64, []byte)      {}
func (c counter) Write(_ uint64, p []byte) { c <- binary.LittleEndian.Uint16(p) }

// TestSnapshot saves a guest in the middle of its countingCode and has another VM go on.
func TestSnapshot(t *testing.T) {
	m := newMachine(t, 2, countingCode...)
	c := make(counter, 1<<16)
	mapPort(t, m.Ports, 0x500, 2, c)
	m.Start()
	var last uint16
	for range 1000 {
		last = <-c
	}
	m.Pause()
	var w state.Writer
	if err := m.Save(&w); err != nil {
		t.Fatal(err)
	}
	for len(c) > 0 {
		last = <-c
	}

	next := newMachine(t, 2, countingCode...)
	into := make(counter, 1<<16)
	mapPort(t, next.Ports, 0x500, 2, into)
	r := state.NewReader(w.Data())
	if err := next.Restore(r); err != nil {
		t.Fatal(err)
	}
	if r.U8(); !errors.Is(r.Err(), state.ErrCorrupt) {
		t.Error("some of the state was not read")
	}
	next.Start()
	for i := range uint16(100) {
		if got := <-into; got != last+1+i {
			t.Fatalf("after %d the guest went on with %d", last+i, got)
		}
	}
	next.Stop()

	// The first VM goes on too.
	m.Resume()
	if got := <-c; got != last+1 {
		t.Errorf("after %d the guest that was saved went on with %d", last, got)
	}
	m.Stop()
}

// TestSnapshotRefused restores what no VM of this shape has saved.
func TestSnapshotRefused(t *testing.T) {
	m := newMachine(t, 1, countingCode...)
	m.Pause()
	var w state.Writer
	if err := m.Save(&w); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(w.Data()); n += 1 + n/8 {
		if err := newMachine(t, 1).Restore(state.NewReader(w.Data()[:n])); !errors.Is(err, state.ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(w.Data()), err)
		}
	}
	if err := newMachine(t, 2).Restore(state.NewReader(w.Data())); !errors.Is(err, state.ErrCorrupt) {
		t.Errorf("another number of processors: %v", err)
	}
}
