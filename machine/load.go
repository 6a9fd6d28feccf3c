package machine

import (
	"errors"
	"fmt"
	"os"

	"github.com/sharevm/vmm/boot"
	"github.com/sharevm/vmm/boot/acpi"
	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/smbios"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"golang.org/x/sys/unix"
)

// loading is the filling of a board's RAM in the background. It takes longer than all else that makes a board, and needs nothing of it.
type loading struct {
	done  chan struct{}
	state entry.State // of the boot processor; set with err when done is closed
	err   error
}

// startLoading begins to put tables, kernel and initrd into RAM.
func (b *board) startLoading() {
	l := &loading{done: make(chan struct{})}
	b.loading = l
	if byFirmware(b.m.cfg) {
		close(l.done) // firmware loads the system
		return
	}
	// RAM must not go away under it.
	b.closers = append(b.closers, closeFunc(func() { <-l.done }))
	go func() {
		defer close(l.done)
		l.state, l.err = b.fillMemory()
	}()
}

// finishLoading waits for the kernel, and puts the processors into their state at the first instruction.
func (b *board) finishLoading() error {
	<-b.loading.done
	if b.loading.err != nil {
		return b.loading.err
	}
	if byFirmware(b.m.cfg) {
		return nil // processors begin as KVM makes them: at the reset vector
	}
	for i, v := range b.vm.VCPUs() {
		if err := setFirmwareState(v.KVM(), i); err != nil {
			return err
		}
	}
	return setEntry(b.vm.VCPUs()[0].KVM(), b.loading.state)
}

// fillMemory puts tables, kernel and initrd into RAM. It returns how the kernel is entered.
func (b *board) fillMemory() (none entry.State, err error) {
	rsdp, err := b.addTables()
	if err != nil {
		return none, err
	}
	p := payload.Payload{Cmdline: b.m.cfg.KernelCmdline(), RSDP: rsdp, Map: e820.Map(b.layout)}
	if p.Kernel, err = payload.FromOS(b.m.kernel); err != nil {
		return none, err
	}
	if b.m.initrd != nil {
		f, err := payload.FromOS(b.m.initrd)
		if err != nil {
			return none, err
		}
		if len(b.m.authorities) > 0 {
			f = f.Append(authoritiesArchive(b.m.authorities), archiveAlign)
		}
		p.Initrd = &f
	}
	return boot.Load(b.mem, b.layout, &p)
}

// addTables writes the SMBIOS and ACPI tables and returns the address of the latter's root.
func (b *board) addTables() (uint64, error) {
	set, err := acpi.Build(b.acpiConfig())
	if err != nil {
		return 0, err
	}
	table, err := smbios.Build(b.smbiosConfig())
	if err != nil {
		return 0, err
	}
	if err := table.Place(b.mem); err != nil {
		return 0, err
	}
	return set.Place(b.mem)
}

// acpiConfig says what the ACPI tables tell.
func (b *board) acpiConfig() *acpi.Config {
	cpu := b.m.cfg.CPU
	topology := cpuid.Topology{CPUs: cpu.Count, CoresPerSocket: cpu.CoresPerSocket}
	c := acpi.Config{Layout: b.layout, PCIBuses: b.buses(), INTx: true, RTC: true, KeyboardReset: true}
	c.VGA = b.m.cfg.DisplayAdapter() == config.DisplayVGA
	for i := range cpu.Count {
		c.APICIDs = append(c.APICIDs, uint32(topology.APICID(i)))
	}
	c.TPM = b.m.tpm != nil
	if b.pc() {
		c.I8042, c.Chipset, c.HPET = true, true, b.m.cfg.Clock.HPET
		c.S3 = !c.TPM || byFirmware(b.m.cfg) // a TPM has to be told that the machine wakes, which is firmware's to do
		c.S4 = c.S3
	}
	for _, s := range b.m.cfg.Serials {
		c.Serials[s.Index] = true
	}
	return &c
}

// smbiosConfig says what the SMBIOS tables tell.
func (b *board) smbiosConfig() *smbios.Config {
	cpu := b.m.cfg.CPU
	return &smbios.Config{
		Layout: b.layout, BIOSVendor: "sharevm", BIOSVersion: "1", BIOSDate: "01/01/2026",
		Manufacturer: "sharevm", Product: "vmm", Version: "1",
		UUID: b.m.uuid, Sockets: cpu.Sockets(), CoresPerSocket: cpu.CoresPerSocket,
	}
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

// openPayload opens kernel and initrd. They stay open from one power cycle to the next, since a confined process cannot open them again.
func (m *Machine) openPayload() (err error) {
	if byFirmware(m.cfg) {
		if m.firmware, err = openFirmware(m.cfg, m.opt.FirmwareFolder, m.opt.Discard); err != nil {
			return err
		}
		if m.cfg.Firmware.SecureBoot {
			m.log.Warn("Secure Boot is on: firmware starts only what the keys in its variables have signed, which are Microsoft's in a new machine. " +
				"This board has no system management mode: a guest's kernel that was taken over can change them")
		}
		return nil
	}
	if m.kernel, err = openRegular(m.cfg.Boot.Kernel); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	if m.cfg.Boot.Initrd == "" {
		if m.cfg.Run.Kiosk.CA != "" {
			return errors.New("vmm.kiosk.ca: the certificates would reach the guest with its initrd, and it has none (vmm.initrd)")
		}
		return nil
	}
	if m.initrd, err = openRegular(m.cfg.Boot.Initrd); err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	if m.cfg.Run.Kiosk.CA != "" {
		m.authorities, err = readAuthorities(m.cfg.Run.Kiosk.CA)
	}
	return err
}

// openRegular opens a file without waiting: a FIFO of that name must not hang the start. That it is a regular file is checked later.
func openRegular(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}
