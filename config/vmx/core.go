package vmx

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sharevm/vmm/config"
)

func (l *loader) identity() {
	m := l.m
	m.GuestOS, _ = l.str("guestOS")
	m.Annotation, _ = l.str("annotation")
	l.used["config.version"], l.used["virtualhw.version"], l.used[encodingKey] = true, true, true
	if s, ok := l.str("uuid.bios"); ok && s != "" {
		id, err := config.ParseUUID(s)
		if err != nil {
			l.warn("uuid.bios", "", "%v: a new one is made up", err)
		}
		m.UUID = id
	}
	if strings.HasPrefix(strings.ToLower(m.GuestOS), "darwin") {
		l.warn("guestOS", "", "macOS wants Apple hardware, which is not imitated: it will not boot")
	}
	if strings.HasPrefix(strings.ToLower(m.GuestOS), "arm-") {
		l.refuse("guestOS", "", "%q is a system for ARM processors", clip(m.GuestOS))
	}
	for _, key := range l.f.Keys() {
		if name, ok := strings.CutPrefix(fold(key), "guestinfo."); ok {
			if m.Tools.GuestInfo == nil {
				m.Tools.GuestInfo = map[string]string{}
			}
			m.Tools.GuestInfo[name], _ = l.str(key)
		}
	}
}

func (l *loader) compute() {
	m := l.m
	m.Memory = l.int("memsize", config.DefaultMemory>>20, 4, config.MaxMemory>>20) << 20
	if m.Memory%(4<<20) != 0 {
		mb := m.Memory >> 20
		l.refuse("memsize", fmt.Sprintf("set it to %d", (mb+3)/4*4), "%d MB is not a multiple of 4", mb)
	}
	c := &m.CPU
	c.Count = int(l.int("numvcpus", 1, 1, config.MaxCPUs))
	c.CoresPerSocket = int(l.int("cpuid.coresPerSocket", 1, 1, config.MaxCPUs))
	if c.Count%c.CoresPerSocket != 0 {
		l.refuse("cpuid.coresPerSocket", "", "%d virtual CPUs cannot be split into sockets of %d cores", c.Count, c.CoresPerSocket)
	}
	c.Nested = l.bool("vhv.enable", false)
	c.HideHypervisor = !l.bool("hypervisor.cpuid.v0", true)
	c.Enlightened = config.IsWindows(m.GuestOS) && !c.HideHypervisor
	switch s := l.word("sched.cpu.shares"); s {
	case "", "normal":
	case "low":
		c.Shares = 500 * c.Count
	case "high":
		c.Shares = 2000 * c.Count
	default:
		c.Shares = int(l.int("sched.cpu.shares", 0, 0, 1_000_000))
	}
	if s := l.word("sched.cpu.max"); s != "" && s != "unlimited" {
		c.LimitMHz = max(0, int(l.int("sched.cpu.max", 0, -1, 10_000_000)))
	}
}

func (l *loader) firmware() {
	m := l.m
	if s, _ := l.str("vmm.kernel"); s != "" {
		m.Boot.Kernel = l.file("vmm.kernel", s)
		m.Firmware.Kind, m.Board = config.FirmwareDirect, config.BoardFast
	}
	if s, _ := l.str("vmm.initrd"); s != "" {
		m.Boot.Initrd = l.file("vmm.initrd", s)
	}
	m.Boot.Cmdline, _ = l.str("vmm.cmdline")
	direct := m.Firmware.Kind == config.FirmwareDirect
	if !direct && (m.Boot.Initrd != "" || m.Boot.Cmdline != "") {
		l.warn("vmm.initrd", "set vmm.kernel", "without vmm.kernel there is no direct boot")
		l.warn("vmm.cmdline", "set vmm.kernel", "without vmm.kernel there is no direct boot")
		m.Boot = config.Boot{}
	}
	switch s := l.word("vmm.board"); {
	case s == "" || s == "fast" && direct:
	case s == "pc":
		m.Board = config.BoardPC
	case s == "fast":
		l.refuse("vmm.board", "set vmm.kernel", "the fast board has no firmware and needs a kernel")
	default:
		l.refuse("vmm.board", "", "%q must be fast or pc", clip(s))
	}
	fw := &m.Firmware
	switch s := l.word("firmware"); s {
	case "", "bios":
	case "efi":
		if !direct {
			fw.Kind = config.FirmwareEFI
			fw.Variables = l.stem + ".efivars"
		}
	default:
		l.refuse("firmware", "", "%q must be bios or efi", clip(s))
	}
	secure := l.bool("uefi.secureBoot.enabled", false)
	fw.SecureBoot = secure && fw.Kind == config.FirmwareEFI
	if secure && !fw.SecureBoot {
		l.warn("uefi.secureBoot.enabled", "", "Secure Boot needs EFI firmware")
	}
	if s, _ := l.str("nvram"); s != "" {
		if at, err := l.path(s); err == nil {
			fw.NVRAM = at
		}
	}
	l.bootOrder()
	fw.BootDelay = time.Duration(l.int("bios.bootDelay", 0, 0, 100_000)) * time.Millisecond
	fw.SetupOnce = l.bool("bios.forceSetupOnce", false)
	m.TPM.Present = l.bool("vtpm.present", false)
	if m.TPM.Present {
		m.TPM.State = l.stem + ".tpm"
	}
	l.clock()
}

// maxBootOrder is more places to boot from than a machine has kinds of.
const maxBootOrder = 32

func (l *loader) bootOrder() {
	disks := l.bootList("bios.hddOrder")
	order := l.bootList("bios.bootOrder")
	if len(order) == 0 && len(disks) > 0 {
		order = []string{"hdd"}
	}
	to := &l.m.Firmware.BootOrder
	for _, word := range order {
		address, err := config.ParseAddress(word)
		switch {
		case word == "hdd" && len(disks) > 0:
			*to = append(*to, disks...)
			disks = nil
		case word == "hdd", word == "cdrom", word == "floppy", match("ethernetn", word):
			*to = append(*to, word)
		case err == nil:
			*to = append(*to, address.String())
		default:
			l.warn("bios.bootOrder", "", "%q is not a boot device (hdd, cdrom, floppy, ethernet0): it is left out", clip(word))
		}
	}
}

func (l *loader) bootList(key string) []string {
	s, _ := l.str(key)
	words := splitList(strings.ToLower(s))
	if len(words) > maxBootOrder {
		l.warn(key, "", "only the first %d of %d entries count", maxBootOrder, len(words))
		words = words[:maxBootOrder]
	}
	return words
}

// splitList parts a list at commas, semicolons and blanks. An empty list is nil.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
}

func (l *loader) clock() {
	c := &l.m.Clock
	c.LocalTime = config.IsWindows(l.m.GuestOS)
	c.HPET = l.bool("hpet0.present", true)
	const day = 24 * 3600
	c.Offset = time.Duration(l.int("rtc.diffFromUTC", 0, -day, day)) * time.Second
	if l.f.Line("rtc.diffFromUTC") != 0 {
		c.LocalTime = false // the file says what the clock holds, whatever the system
	}
	if s := l.int("rtc.startTime", 0, 0, math.MaxUint32); s != 0 {
		c.Start = time.Unix(s, 0).UTC()
	}
}

func (l *loader) bridges() {
	for _, n := range l.numbered("pcibridge", 31) {
		key := fmt.Sprintf("pciBridge%d", n)
		b := config.PCIBridge{Index: n, Slot: l.slot(key), Functions: int(l.int(key+".functions", 1, 1, 8))}
		switch s := l.word(key + ".virtualDev"); s {
		case "":
		case "pcierootport":
			b.RootPort = true
		default:
			l.warn(key+".virtualDev", "", "%q is built as a plain bridge", clip(s))
		}
		l.m.Bridges = append(l.m.Bridges, b)
	}
}

func (l *loader) power() {
	p := &l.m.Power
	for key, to := range map[string]*config.PowerAction{
		"powerType.powerOff": &p.Off, "powerType.reset": &p.Reset, "powerType.suspend": &p.Suspend,
	} {
		switch s := l.word(key); s {
		case "", "default", "preset":
		case "soft", "trysoft":
			*to = config.PowerSoft
		case "hard":
			*to = config.PowerHard
		default:
			l.warn(key, "", "%q must be soft or hard", clip(s))
		}
	}
	if s, _ := l.str("checkpoint.vmState"); s != "" {
		class, advice := Refused, "resume and shut it down in VMware, or give the suspended session up with --discard-state"
		if l.opt.DiscardState {
			class, advice = Warned, ""
		}
		l.note("checkpoint.vmState", class, fmt.Sprintf("the machine was suspended by VMware (%s), whose state cannot be resumed here", clip(s)), advice)
	}
}
