package vmm

import (
	"fmt"
	"os"
	"sync"

	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
)

// DeviceMemory is memory of a device, such as video memory, that the guest reaches as fast as RAM, at an address that the guest may choose. It can log
// what the guest writes to. Its methods may be called from any goroutine.
type DeviceMemory struct {
	vm   *VM
	slot uint32
	host []byte
	rom  bool

	mu      sync.Mutex
	base    uint64
	placed  bool
	logging bool
	unknown bool // pages may have been written while there was no log
}

// NewDeviceMemory returns memory that the guest does not see yet. host, whole pages of a mapping, must outlive the VM.
func (vm *VM) NewDeviceMemory(host []byte) (*DeviceMemory, error) {
	if page := os.Getpagesize(); len(host) == 0 || len(host)%page != 0 {
		return nil, fmt.Errorf("memory of a device with %d bytes, not whole pages", len(host))
	}
	return &DeviceMemory{vm: vm, slot: vm.slots.Add(1) - 1, host: host}, nil
}

// NewROM returns memory as NewDeviceMemory does, which the guest can only read: its stores go to what the MMIO bus has at their address.
func (vm *VM) NewROM(host []byte) (*DeviceMemory, error) {
	d, err := vm.NewDeviceMemory(host)
	if err == nil {
		d.rom = true
	}
	return d, err
}

// Size is the length in bytes.
func (d *DeviceMemory) Size() uint64 { return uint64(len(d.host)) }

// Place shows the memory to the guest at base, a multiple of the page size, in place of where it was. Where it would overlap other memory of the guest it fails, and the
// memory is nowhere.
func (d *DeviceMemory) Place(base uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.remove(); err != nil {
		return err
	}
	if err := d.set(base, d.logging); err != nil {
		return err
	}
	d.base, d.placed = base, true
	return nil
}

// Remove takes the memory out of the guest's sight.
func (d *DeviceMemory) Remove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove()
}

func (d *DeviceMemory) remove() error {
	if !d.placed {
		return nil
	}
	if err := d.vm.kvm.SetMemoryRegion(kvm.UserspaceMemoryRegion{Slot: d.slot}); err != nil {
		return err
	}
	// The log of this place is gone.
	d.placed, d.unknown = false, true
	return nil
}

func (d *DeviceMemory) set(base uint64, logging bool) error {
	s := slot(d.slot, memory.Region{Base: base, Host: d.host})
	if logging {
		s.Flags = kvm.MemLogDirtyPages
	}
	if d.rom {
		s.Flags |= kvm.MemReadonly
	}
	return d.vm.kvm.SetMemoryRegion(s)
}

// LogDirty switches the log of the guest's writes on or off. While it is on, the first write to each page after it was read costs the guest a fault.
func (d *DeviceMemory) LogDirty(on bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.logging == on {
		return nil
	}
	if d.placed {
		if err := d.set(d.base, on); err != nil {
			return err
		}
	}
	d.logging, d.unknown = on, true
	return nil
}

// Logging says whether the log is on.
func (d *DeviceMemory) Logging() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.logging
}

// Dirty sets in bitmap a bit for each page of 4 KiB that the guest may have written to since the last call, and clears the others: all are set where there was no log. It
// must have a bit for each page.
func (d *DeviceMemory) Dirty(bitmap []uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if need := (len(d.host)/pageSize + 63) / 64; len(bitmap) < need {
		return fmt.Errorf("a bitmap of %d words for %d bytes", len(bitmap), len(d.host))
	}
	clear(bitmap)
	if d.placed && d.logging {
		if err := d.vm.kvm.DirtyLog(d.slot, bitmap); err != nil {
			return err
		}
	}
	if d.unknown || !d.logging {
		for i := range bitmap {
			bitmap[i] = ^uint64(0)
		}
	}
	d.unknown = false
	return nil
}

const pageSize = 4096
