package vmm_test

import (
	"testing"

	"github.com/sharevm/vmm/vmm"
	"golang.org/x/sys/unix"
)

// TestROM runs a guest that reads a ROM, stores to it, and reads again where the device that took the store has hidden the ROM.
func TestROM(t *testing.T) {
	const hole = 0xA0000
	m := newConfiguredMachine(t, vmm.Config{Holes: []vmm.Range{{Base: hole, Size: 0x1000}}}, 1,
		0xB8, 0x00, 0xA0, // mov ax, 0A000h
		0x8E, 0xD8, // mov ds, ax
		0xA0, 0x05, 0x00, // mov al, [5]
		0xE6, 0x10, // out 10h, al
		0xA2, 0x06, 0x00, // mov [6], al
		0xA0, 0x05, 0x00, // mov al, [5]
		0xE6, 0x10, // out 10h, al
		0xF4, // hlt
	)
	rom, err := unix.Mmap(-1, 0, 0x1000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(rom) })
	rom[5] = 0x5A
	s, err := m.NewROM(rom)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Place(hole); err != nil {
		t.Fatal(err)
	}
	ports, flash := newRecorder(0), &hiding{recorder: newRecorder(0x77), hide: s.Remove}
	mapPort(t, m.Ports, 0x10, 1, ports)
	mapPort(t, m.MMIO, hole, 0x1000, flash)
	m.Start()
	for _, want := range []struct {
		from *recorder
		access
	}{{ports, access{0, "\x5A"}}, {flash.recorder, access{6, "\x5A"}}, {ports, access{0, "\x77"}}} {
		if got := <-want.from.got; got != want.access {
			t.Fatalf("got %+v, want %+v", got, want.access)
		}
	}
	if flash.err != nil {
		t.Error(flash.err)
	}
	if rom[6] != 0 {
		t.Error("the guest wrote to a ROM")
	}
}

// hiding is a recorder that hides the memory above it when it is written.
type hiding struct {
	*recorder
	hide func() error
	err  error
}

func (h *hiding) Write(offset uint64, p []byte) {
	h.err = h.hide()
	h.recorder.Write(offset, p)
}
