// Package vmgenid tells a guest when it is no longer the one machine that it was: after a snapshot was restored or copied it finds another
// number in memory, and knows that random numbers and clocks have to be renewed.
//
// Source: Microsoft, "Virtual Machine Generation ID"; QEMU, docs/specs/vmgenid, for how firmware places the number in RAM and tells where.
package vmgenid

import (
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// Files of the firmware configuration device.
const (
	FileNumber  = "etc/vmgenid_guid"
	FileAddress = "etc/vmgenid_addr"

	// Offset is where the number stands in its page: before it there is nothing that could look like an ACPI table.
	Offset = 40
	// PageSize is what firmware allocates for it, at a multiple of this.
	PageSize = 4096
	// AddressSize is the size of the file that firmware writes the page's address to.
	AddressSize = 8
	// GPE is the general purpose event that announces another number.
	GPE = 5
)

// Device is the number. It is a state.Device.
type Device struct {
	mem    *memory.Guest
	notify func()
	log    *slog.Logger

	mu     sync.Mutex
	number [16]byte
	page   uint64 // guest-physical address, 0 before firmware has told it
}

// New returns a device with a number of its own. notify raises the general purpose event GPE.
func New(mem *memory.Guest, notify func(), log *slog.Logger) *Device {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Device{mem: mem, notify: notify, log: log}
	_, _ = rand.Read(d.number[:]) // never fails
	return d
}

// Page is the contents of FileNumber.
func (d *Device) Page() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := make([]byte, PageSize)
	copy(p[Offset:], d.number[:])
	return p
}

// Placed takes what firmware wrote to FileAddress.
func (d *Device) Placed(address []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.page = binary.LittleEndian.Uint64(address)
}

// Renew gives the guest another number, and tells it.
func (d *Device) Renew() {
	if d.renew() {
		d.notify()
	}
}

func (d *Device) renew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = rand.Read(d.number[:]) // never fails
	if d.page == 0 {
		return false
	}
	to, err := d.mem.Slice(d.page, PageSize)
	if err != nil {
		d.log.Warn("vmgenid: the guest's firmware has put the number nowhere", "error", err)
		return false
	}
	copy(to[Offset:], d.number[:])
	return true
}

// Pause implements state.Device: the device does nothing by itself.
func (d *Device) Pause() {}

// Resume implements state.Device.
func (d *Device) Resume() {}

const (
	stateName    = "vmgenid"
	stateVersion = 1
)

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.Bytes(d.number[:])
	w.U64(d.page)
}

// Restore implements state.Device. The number is the saved one until Renew.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	number, page := r.Bytes(len(d.number)), r.U64()
	if r.Err() == nil && len(number) != len(d.number) {
		r.Fail("vmgenid: a number of %d bytes", len(number))
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.number[:], number)
	d.page = page
	return nil
}
