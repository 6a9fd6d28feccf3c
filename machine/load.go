package machine

import (
	"fmt"
	"os"

	"github.com/sharevm/vmm/boot"
	"github.com/sharevm/vmm/boot/acpi"
	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/smbios"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"golang.org/x/sys/unix"
)

// load puts tables, kernel and initrd into RAM and the processors into their state at the first instruction.
func (b *board) load() error {
	rsdp, err := b.addTables()
	if err != nil {
		return err
	}
	p := payload.Payload{Cmdline: b.m.cfg.Boot.Cmdline, RSDP: rsdp, Map: e820.Map(b.layout)}
	kernel, err := openRegular(b.m.cfg.Boot.Kernel)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer kernel.Close()
	if p.Kernel, err = payload.FromOS(kernel); err != nil {
		return err
	}
	if b.m.cfg.Boot.Initrd != "" {
		initrd, err := openRegular(b.m.cfg.Boot.Initrd)
		if err != nil {
			return fmt.Errorf("initrd: %w", err)
		}
		defer initrd.Close()
		f, err := payload.FromOS(initrd)
		if err != nil {
			return err
		}
		p.Initrd = &f
	}
	state, err := boot.Load(b.mem, b.layout, &p)
	if err != nil {
		return err
	}
	for i, v := range b.vm.VCPUs() {
		if err := setFirmwareState(v.KVM(), i); err != nil {
			return err
		}
	}
	return setEntry(b.vm.VCPUs()[0].KVM(), state)
}

// addTables writes the SMBIOS and ACPI tables and returns the address of the latter's root.
func (b *board) addTables() (uint64, error) {
	cpu := b.m.cfg.CPU
	topology := cpuid.Topology{CPUs: cpu.Count, CoresPerSocket: cpu.CoresPerSocket}
	c := acpi.Config{Layout: b.layout, PCIBuses: pciBuses, INTx: true, RTC: true, KeyboardReset: true}
	for i := range cpu.Count {
		c.APICIDs = append(c.APICIDs, uint32(topology.APICID(i)))
	}
	for _, s := range b.m.cfg.Serials {
		c.Serials[s.Index] = true
	}
	set, err := acpi.Build(&c)
	if err != nil {
		return 0, err
	}
	identity := smbios.Config{
		Layout: b.layout, BIOSVendor: "sharevm", BIOSVersion: "1", BIOSDate: "01/01/2026",
		Manufacturer: "sharevm", Product: "vmm", Version: "1",
		UUID: b.m.uuid, Sockets: cpu.Sockets(), CoresPerSocket: cpu.CoresPerSocket,
	}
	table, err := smbios.Build(&identity)
	if err != nil {
		return 0, err
	}
	if err := table.Place(b.mem); err != nil {
		return 0, err
	}
	return set.Place(b.mem)
}

// hostPhysBits is how many bits of physical address the guest's processors have, as KVM supports them.
func hostPhysBits(supported []kvm.CPUIDEntry) int {
	for _, e := range supported {
		if e.Function == 0x80000008 && e.EAX&0xff >= 32 {
			return int(min(e.EAX&0xff, 52))
		}
	}
	return 36
}

// openRegular opens a file without waiting: a FIFO of that name must not hang the start. That it is a regular file is checked later.
func openRegular(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}
