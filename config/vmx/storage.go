package vmx

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config"
)

func (l *loader) storage() {
	needed := map[config.Bus]bool{}
	for _, name := range l.devices("@:n") {
		if !l.bool(name+".present", l.f.Line(vmmPrefix+name+".fileName") != 0) {
			continue
		}
		a, err := config.ParseAddress(name)
		if err != nil {
			l.refuse(name+".present", "", "%v", err)
			continue
		}
		if d, ok := l.drive(a, name); ok && l.busPresent(a.Bus) {
			needed[a.Bus] = true
			l.m.Disks = append(l.m.Disks, d)
		}
	}
	for _, name := range l.devices("floppyn") {
		if d, ok := l.floppy(name); ok {
			needed[d.Address.Bus] = true
			l.m.Disks = append(l.m.Disks, d)
		}
	}
	for _, kind := range []config.BusKind{config.BusSCSI, config.BusSATA, config.BusNVMe} {
		for _, n := range l.numbered(string(kind), 4) {
			needed[config.Bus{Kind: kind, Number: n}] = true
		}
	}
	for bus := range needed {
		l.m.Controllers = append(l.m.Controllers, l.controller(bus))
	}
	slices.SortFunc(l.m.Controllers, func(a, b config.Controller) int {
		return config.Address{Bus: a.Bus}.Compare(config.Address{Bus: b.Bus})
	})
	slices.SortFunc(l.m.Disks, func(a, b config.Disk) int { return a.Address.Compare(b.Address) })
}

// busPresent reports whether a drive's controller is there. A controller that is not mentioned is taken as present: its
// drives would otherwise be lost without a word, as they are in VMware.
func (l *loader) busPresent(bus config.Bus) bool {
	if bus.Kind == config.BusIDE {
		return true
	}
	key := bus.String() + ".present"
	if l.f.Line(l.effective(key)) == 0 {
		l.warn(key, "add "+key+` = "TRUE"`, "not set: VMware would leave out the controller and its drives; it is built here")
		return true
	}
	return l.bool(key, false)
}

func (l *loader) controller(bus config.Bus) config.Controller {
	name := bus.String()
	c := config.Controller{Bus: bus, Slot: config.NoSlot}
	if bus.Kind != config.BusIDE && bus.Kind != config.BusFloppy {
		c.Slot = l.slot(name)
	}
	if bus.Kind == config.BusSCSI {
		c.SASWWID = l.sasAddress(name + ".sasWWID")
	}
	want := ""
	if bus.Kind == config.BusSCSI || l.f.Line(vmmPrefix+name+".virtualDev") != 0 {
		want = l.word(name + ".virtualDev")
	}
	switch bus.Kind {
	case config.BusIDE:
		c.Model = config.ControllerPIIX
	case config.BusSATA:
		c.Model = config.ControllerAHCI
	case config.BusNVMe:
		c.Model = config.ControllerNVMe
	case config.BusFloppy:
		c.Model = config.ControllerFloppy
	case config.BusSCSI:
		c.Model = l.scsiModel(name, want)
	}
	if l.m.Board == config.BoardFast || want == "virtio" {
		c.Model = config.ControllerVirtioBlk
	} else if want != "" && bus.Kind != config.BusSCSI {
		l.refuse(name+".virtualDev", "", "%q must be virtio", clip(want))
	}
	return c
}

// sasAddress reads VMware's spelling of a SAS address: eight pairs of hexadecimal digits.
func (l *loader) sasAddress(key string) uint64 {
	s, _ := l.str(key)
	if s == "" {
		return 0
	}
	wwid, err := strconv.ParseUint(strings.ReplaceAll(s, " ", ""), 16, 64)
	if err != nil {
		l.warn(key, "", "%q is not a SAS address (eight pairs of hexadecimal digits)", clip(s))
	}
	return wwid
}

func (l *loader) scsiModel(name, want string) config.ControllerModel {
	if shared := l.word(name + ".sharedBus"); shared != "" && shared != "none" {
		l.refuse(name+".sharedBus", `set it to "none"`, "disks cannot be shared with another machine")
	}
	switch model := config.ControllerModel(want); model {
	case "":
		guess := config.DefaultSCSI(l.m.GuestOS)
		if l.m.Board != config.BoardFast {
			l.warn(name+".virtualDev", "", "the file names no model: %s is assumed for this guest system", guess)
		}
		return guess
	case config.ControllerBusLogic, config.ControllerLSILogic, config.ControllerLSISAS, config.ControllerPVSCSI, config.ControllerVirtioBlk:
		return model
	}
	l.refuse(name+".virtualDev", "", "%q must be buslogic, lsilogic, lsisas1068 or pvscsi", clip(want))
	return config.DefaultSCSI(l.m.GuestOS)
}

// drive translates one drive; ok is false for one that is left out or refused.
func (l *loader) drive(a config.Address, name string) (config.Disk, bool) {
	d := config.Disk{Address: a, Media: config.MediaDisk, Mode: l.mode(name)}
	d.WriteThrough = l.bool(name+".writeThrough", false)
	d.ReadOnly = l.bool(name+".readonly", false)
	d.Connected = l.bool(name+".startConnected", true)
	d.Serial, _ = l.str(vmmPrefix + name + ".serial")
	l.caps(name, &d)
	if redo, _ := l.str(name + ".redo"); redo != "" {
		l.refuse(name+".redo", "commit it in VMware", "the disk has a redo log (%s) that would be lost", clip(redo))
		return d, false
	}
	switch kind := l.word(name + ".deviceType"); kind {
	case "", "disk", "scsi-harddisk", "ata-harddisk", "harddisk", "plaindisk":
		return d, l.image(name, &d)
	case "rawdisk":
		d.HostDevice = true
		if !l.opt.AllowHostDevices {
			l.refuse(name+".deviceType", adviceDevices, "the disk is one of the host's own")
			return d, false
		}
		return d, l.image(name, &d)
	case "cdrom-image", "atapi-cdrom", "cdrom-raw", "cdrom", "scsi-cdrom", "atapi-cdrom-raw":
		d.Media, d.ReadOnly, d.Mode = config.MediaCDROM, true, config.ModePersistent
		l.cdrom(name, kind, &d)
		return d, true
	default:
		l.refuse(name+".deviceType", "", "%q is a kind of drive that vmm does not have", clip(kind))
		return d, false
	}
}

func (l *loader) mode(name string) config.DiskMode {
	switch s := l.word(name + ".mode"); s {
	case "", "persistent":
		return config.ModePersistent
	case "independent-persistent":
		return config.ModeIndependentPersistent
	case "independent-nonpersistent", "nonpersistent":
		return config.ModeIndependentNonpersistent
	default:
		l.refuse(name+".mode", "", "%q must be persistent, independent-persistent or independent-nonpersistent", clip(s))
		return config.ModePersistent
	}
}

// image finds the file of a hard disk.
func (l *loader) image(name string, d *config.Disk) bool {
	key := name + ".fileName"
	file, _ := l.str(key)
	if file == "" {
		l.refuse(key, "", "disk %s names no file", name)
		return false
	}
	var err error
	if d.Format, err = config.FormatOf(file); err != nil {
		l.refuse(key, "", "%v", err)
		return false
	}
	if d.Path = l.file(key, file); d.Path == "" {
		return false
	}
	l.locks(d.Path)
	return true
}

// cdrom finds the medium of a CD-ROM drive. A medium that is not to be had leaves the drive empty: the system on the disk
// does not need it to boot.
func (l *loader) cdrom(name, kind string, d *config.Disk) {
	key := name + ".fileName"
	file, _ := l.str(key)
	if file == "" || strings.EqualFold(file, "auto detect") || strings.EqualFold(file, "emptyBackingString") {
		return
	}
	if kind != "cdrom-image" && !strings.EqualFold(filepath.Ext(file), ".iso") {
		l.hostDrive(key, file, d)
		return
	}
	at, err := l.path(file)
	if err == nil {
		d.Format, err = config.FormatOf(file)
	}
	if err != nil {
		l.warn(key, advice(err), "the drive stays empty: %v", err)
		return
	}
	d.Path = at
}

func (l *loader) hostDrive(key, file string, d *config.Disk) {
	if !l.opt.AllowHostDevices || filepath.Dir(filepath.Clean(file)) != "/dev" {
		l.warn(key, "name an .iso file", "the drive stays empty: the host's CD-ROM drive is not used")
		return
	}
	d.Path, d.HostDevice, d.Format = filepath.Clean(file), true, config.FormatRaw
}

// floppy translates a floppy drive. VMware builds one unless told otherwise; here it takes an image.
func (l *loader) floppy(name string) (config.Disk, bool) {
	if !l.bool(name+".present", true) {
		return config.Disk{}, false
	}
	a, err := config.ParseAddress(name)
	if err != nil {
		l.refuse(name+".present", "", "there are floppy drives 0 and 1")
		return config.Disk{}, false
	}
	file, _ := l.str(name + ".fileName")
	if file == "" || l.word(name+".fileType") != "file" {
		return config.Disk{}, false
	}
	d := config.Disk{
		Address: a, Media: config.MediaFloppy, Mode: config.ModePersistent, Format: config.FormatRaw,
		ReadOnly: l.bool(name+".readonly", false), Connected: l.bool(name+".startConnected", true),
	}
	at, err := l.path(file)
	if err != nil {
		l.warn(name+".fileName", "", "there is no floppy drive: %v", err)
		return d, false
	}
	d.Path = at
	return d, true
}
