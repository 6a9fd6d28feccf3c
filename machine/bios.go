package machine

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/acpi"
	"github.com/sharevm/vmm/boot/firmware"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/smbios"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/debugcon"
	"github.com/sharevm/vmm/devices/flash"
	"github.com/sharevm/vmm/devices/fwcfg"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/vmgenid"
)

// firmwareEnd is where firmware ends: processors begin 16 bytes below.
const firmwareEnd = 1 << 32

// maxFirmwareLog bounds what firmware and guest print on the debug console, in bytes a power cycle.
const maxFirmwareLog = 4 << 20

// addFirmware adds what firmware needs that boots the machine: itself, the chip with its variables, and the device that tells it about the
// machine. All else is plugged by then.
func (b *board) addFirmware() error {
	if !byFirmware(b.m.cfg) {
		return nil
	}
	r := b.m.firmware
	if err := b.addROM(r); err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	if out := b.m.opt.FirmwareLog; out != nil {
		d := debugcon.New(out, maxFirmwareLog)
		b.closers = append(b.closers, d)
		b.devices = append(b.devices, d)
		if err := b.vm.Ports.Map(debugcon.Port, debugcon.Size, d); err != nil {
			return err
		}
	}
	d := fwcfg.New(b.mem, b.m.log)
	b.devices = append(b.devices, d)
	if err := b.addItems(d); err != nil {
		return err
	}
	return b.vm.Ports.Map(fwcfg.Port, fwcfg.Size, d)
}

// addROM shows the firmware to the guest.
func (b *board) addROM(r *romware) error {
	base := uint64(firmwareEnd - len(r.code))
	rom, err := b.vm.NewROM(r.code)
	if err != nil {
		return err
	}
	if err := rom.Place(base); err != nil {
		return err
	}
	if r.variables == nil {
		if b.slept != nil {
			return nil // its copy below 1 MiB is in use
		}
		address, p := firmware.Shadow(r.code)
		return b.mem.Write(address, p)
	}
	array, err := b.vm.NewROM(r.variables)
	if err != nil {
		return err
	}
	base -= uint64(len(r.variables))
	c := flash.Config{Base: base, Contents: r.variables, Array: array, Log: b.m.log}
	if r.store != nil {
		c.Store = r.store
	}
	if zone := b.vm.StoreZone(base, uint32(len(r.variables))); zone != nil {
		c.Stores = zone
	}
	chip, err := flash.New(c)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, chip)
	b.devices = append(b.devices, chip)
	return b.vm.MMIO.Map(base, chip.Size(), chip)
}

// addItems adds everything that firmware reads.
func (b *board) addItems(d *fwcfg.Device) error {
	cfg := b.m.cfg
	menu, wait := 0, cfg.Firmware.BootDelay.Milliseconds()
	if cfg.Firmware.SetupOnce {
		wait = max(wait, setupWait)
	}
	if wait > 0 {
		menu = 1
	}
	le := binary.LittleEndian
	for _, i := range []struct {
		key  uint16
		data []byte
	}{
		{firmware.ItemUUID, b.m.uuid[:]},
		{firmware.ItemMemory, le.AppendUint64(nil, b.layout.RAM)},
		{firmware.ItemNoScreen, firmware.Number(0)},
		{firmware.ItemCPUs, firmware.Number(cfg.CPU.Count)},
		{firmware.ItemMaxCPUs, firmware.Number(cfg.CPU.Count)},
		{firmware.ItemBootMenu, firmware.Number(menu)},
	} {
		if err := d.AddItem(i.key, i.data); err != nil {
			return err
		}
	}
	id, err := smbios.Build(b.smbiosConfig())
	if err != nil {
		return err
	}
	anchor := id.Entry[:]
	if cfg.Firmware.Kind == config.FirmwareBIOS {
		anchor = id.LegacyEntry() // OVMF makes one of each kind; SeaBIOS passes on what it gets
	}
	acpiConfig := b.acpiConfig()
	type file struct {
		name string
		data []byte
	}
	files := []file{
		{firmware.FileMemoryMap, firmware.MemoryMap(b.layout)},
		{firmware.FileSMBIOSEntry, anchor},
		{firmware.FileSMBIOSTables, id.Structures},
		{firmware.FileSleepStates, firmware.SleepStates(acpiConfig.S3, acpiConfig.S4)},
		{firmware.FileBootOrder, firmware.BootOrder(bootOrder(b.bootables, cfg.Firmware.BootOrder))},
		{firmware.FileBootMenu, firmware.Number(menu)},
		{firmware.FileBootMenuWait, firmware.Number(int(wait))},
	}
	for _, s := range cfg.Serials {
		if s.Kind == config.SerialConsole && cfg.DisplayAdapter() == config.DisplayNone {
			files = append(files, file{firmware.FileSerial, firmware.Number(int(layout.SerialPorts[s.Index]))})
		}
	}
	for name, rom := range b.m.firmware.roms {
		files = append(files, file{name, rom})
	}
	for _, f := range files {
		if err := d.AddFile(f.name, f.data); err != nil {
			return err
		}
	}
	return b.addTableFiles(d, acpiConfig)
}

// setupWait is how long firmware waits for a key when the configuration asks for its menu, in milliseconds.
const setupWait = 60_000

// addTableFiles adds the ACPI tables and the generation id. The tables are made when firmware takes the first file of them: by then it has given
// the BARs addresses, and the tables have to say which are in use.
func (b *board) addTableFiles(d *fwcfg.Device, c *acpi.Config) error {
	generation := vmgenid.New(b.mem, func() { b.power.Signal(vmgenid.GPE) }, b.m.log)
	b.generation = generation
	b.devices = append(b.devices, generation)
	c.GenerationFile, c.GenerationOffset, c.GenerationGPE = vmgenid.FileNumber, vmgenid.Offset, vmgenid.GPE
	pages := []firmware.Page{{File: vmgenid.FileNumber, AddressFile: vmgenid.FileAddress, Align: vmgenid.PageSize}}
	if c.TPM {
		c.TPMLogFile, c.TPMLogSize = firmware.FileTPMLog, firmware.TPMLogSize
		pages = append(pages, firmware.Page{File: firmware.FileTPMLog, Align: 1})
		if err := d.AddFile(firmware.FileTPMLog, make([]byte, firmware.TPMLogSize)); err != nil {
			return err
		}
	}
	set, err := acpi.Build(c)
	if err != nil {
		return err
	}
	// Firmware may learn the files' sizes before the tables are made: they get room for what the addresses change.
	const slack, unit = 1 << 10, 4 << 10
	first := firmware.Link(set, pages...)
	var tables *firmware.Tables
	link := func() (*firmware.Tables, error) {
		if tables == nil {
			b.fitWindows(c)
			set, err := acpi.Build(c)
			if err != nil {
				return nil, err
			}
			t := firmware.Link(set, pages...)
			tables = &t
		}
		return tables, nil
	}
	for _, f := range []struct {
		name string
		size int
		part func(*firmware.Tables) []byte
	}{
		{firmware.FileRSDP, len(first.RSDP), func(t *firmware.Tables) []byte { return t.RSDP }},
		{firmware.FileTables, (len(first.Tables) + slack + unit - 1) &^ (unit - 1), func(t *firmware.Tables) []byte { return t.Tables }},
		{firmware.FileLoader, (len(first.Loader) + slack + unit - 1) &^ (unit - 1), func(t *firmware.Tables) []byte { return t.Loader }},
	} {
		err := d.AddComputedFile(f.name, f.size, func() ([]byte, error) {
			t, err := link()
			if err != nil {
				return nil, err
			}
			return f.part(t), nil
		})
		if err != nil {
			return err
		}
	}
	if err := d.AddFile(vmgenid.FileNumber, generation.Page()); err != nil {
		return err
	}
	return d.AddWritableFile(vmgenid.FileAddress, make([]byte, vmgenid.AddressSize), generation.Placed)
}

// fitWindows has the tables offer the windows for BARs that firmware has used.
func (b *board) fitWindows(c *acpi.Config) {
	if base, buses := b.root.ECAMPlace(); buses > 0 {
		c.Layout.ECAM = layout.Window{Base: base, Size: layout.ECAMSize}
	}
	c.Memory32 = windows32(b.layout.Low.End(), c.Layout.ECAM)
	c.Layout.MMIO64 = window64(b.layout.MMIO64, b.root.MemoryUsed())
}

// firstWindow is where firmware begins to place BARs if RAM leaves it the choice.
const firstWindow = 2 << 30

// windows32 is what lies between RAM and the board's own registers, but for the configuration space.
func windows32(ramEnd uint64, ecam layout.Window) (all []layout.Window) {
	add := func(from, to uint64) {
		if from < to {
			all = append(all, layout.Window{Base: from, Size: to - from})
		}
	}
	from := max(ramEnd, firstWindow)
	add(from, min(ecam.Base, layout.MMIO32End))
	add(max(from, ecam.End()), layout.MMIO32End)
	return all
}

// window64 is the window for 64-bit BARs: the usual one where firmware keeps to it, and else one around what it has used.
func window64(usual layout.Window, used []pci.Window) layout.Window {
	const fourGiB, align = 4 << 30, 1 << 30
	low, high := ^uint64(0), uint64(0)
	for _, w := range used {
		if w.Base >= fourGiB && w.Base+w.Size > w.Base {
			low, high = min(low, w.Base), max(high, w.Base+w.Size)
		}
	}
	if low > high || usual.Contains(low, high-low) {
		return usual
	}
	low, high = low&^(align-1), (high+align-1)&^(align-1)
	return layout.Window{Base: low, Size: high - low}
}
