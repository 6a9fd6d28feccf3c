package vmm_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
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

// TestRestoreDevices has devices that are being restored set messages and doorbells: what is fired meanwhile arrives, doorbells ring before KVM knows them and after, and one
// that goes again is gone.
func TestRestoreDevices(t *testing.T) {
	m := newMachine(t, 1, 0xe6, 0x30, 0xe6, 0x31, 0xeb, 0xfa) // out to 0x30 and 0x31, for ever
	bsp := m.VCPUs()[0].KVM()
	lapic, err := bsp.LAPIC()
	if err != nil {
		t.Fatal(err)
	}
	const spurious, enabled, requested = 0xf0, 0x1ff, 0x200
	binary.LittleEndian.PutUint32(lapic.Regs[spurious:], enabled)
	if err := bsp.SetLAPIC(lapic); err != nil {
		t.Fatal(err)
	}
	var bells []bus.Doorbell
	for _, port := range []uint64{0x30, 0x31} {
		ev, err := event.New()
		if err != nil {
			t.Fatal(err)
		}
		defer ev.Close()
		bells = append(bells, bus.Doorbell{Addr: port, Event: ev})
	}
	device := make(recorderOfAny, 1)
	mapPort(t, m.Ports, 0x30, 2, device)
	vectors := []byte{0x41, 0x62}
	var all []irq.MSI
	failed := errors.New("a device is corrupt")
	if err := m.RestoreDevices(func() error { return failed }); err != failed {
		t.Fatal(err)
	}
	err = m.RestoreDevices(func() error {
		for _, v := range vectors {
			msi, err := m.NewMSI()
			if err != nil {
				return err
			}
			all = append(all, msi)
			if err := msi.SetMessage(&irq.Message{Address: 0xfee00000, Data: uint32(v)}); err != nil {
				return err
			}
		}
		all[0].Fire()
		for _, b := range bells {
			if err := m.Ports.AddDoorbell(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all[1].Fire()
	for _, v := range vectors {
		arrived := func() bool {
			l, err := bsp.LAPIC()
			if err != nil {
				t.Fatal(err)
			}
			return binary.LittleEndian.Uint32(l.Regs[requested+int(v)/32*16:])&(1<<(v%32)) != 0
		}
		for end := time.Now().Add(time.Minute); !arrived(); time.Sleep(time.Millisecond) { // the kernel sends what it finds pending in its own time
			if time.Now().After(end) {
				t.Fatalf("interrupt %#x did not arrive", v)
			}
		}
	}
	m.Ports.Write(0x30, []byte{1}) // as a vCPU's exit does
	if err := bells[0].Event.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := m.Ports.RemoveDoorbell(bells[1]); err != nil {
		t.Fatal(err)
	}
	m.Start()
	for range 100 {
		if err := bells[0].Event.Wait(); err != nil {
			t.Fatal(err)
		}
		if port := <-device; port != 1 {
			t.Fatalf("the device saw a store to port %d of its own, whose doorbell is there", port)
		}
	}
	if err := m.Ports.RemoveDoorbell(bells[0]); err != nil { // KVM has it by now, or will not get it any more
		t.Fatal(err)
	}
	for port := range device {
		if port == 0 {
			break
		}
	}
	m.Stop()
}

// recorderOfAny tells which port was written to, unless it has just told so.
type recorderOfAny chan uint64

func (recorderOfAny) Read(uint64, []byte) {}
func (r recorderOfAny) Write(offset uint64, _ []byte) {
	select {
	case r <- offset:
	default:
	}
}
