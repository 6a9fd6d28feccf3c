package vmx

import "strings"

// rule says what becomes of the keys that match a pattern. A pattern is lower case; "n" fits the letter or a number, "@" any
// disk controller with its number, and "*", always last, whatever follows.
type rule struct {
	pattern string
	class   Class
	reason  string
	advice  string
}

// rules is the classification of keys, most specific first: the first match counts. A key that the reader finds wanting
// for its value, or that lies below something switched off, is judged there and not here.
var rules = []rule{
	// The file itself.
	{".encoding", Honoured, "character set of the values", ""},
	{"config.version", Honoured, "marks the file as a machine", ""},
	{"virtualhw.version", Honoured, "marks the file as a machine", ""},
	{"virtualhw.*", Harmless, "which VMware products may open the machine", ""},
	{"guestos", Honoured, "chooses default controllers and, for Windows, local time and Hyper-V enlightenments", ""},
	{"guestos.*", Harmless, "VMware's notes about the guest system", ""},
	{"guestosaltname", Harmless, "display only", ""},
	{"displayname", Honoured, "the machine's name", ""},
	{"annotation", Honoured, "notes", ""},
	{"encryption.*", Refused, "the machine is encrypted", "remove the encryption in VMware (VM > Settings > Options > Access Control)"},
	{"vmx.encryptiontype", Refused, "the machine is encrypted", "remove the encryption in VMware (VM > Settings > Options > Access Control)"},
	{"include", Warned, "other files are not read into this one", "copy the keys that are needed into this file"},
	{"policy.*", Warned, "restrictions of a managed machine are not enforced", ""},
	{"managedvm.*", Harmless, "notes of VMware's management", ""},

	// Identity.
	{"uuid.bios", Honoured, "SMBIOS system UUID", ""},
	{"uuid.action", Harmless, "the UUID is always kept", ""},
	{"uuid.*", Harmless, "where VMware last saw the machine", ""},
	{"vc.uuid", Harmless, "vCenter's own id", ""},
	{"smbios.*", Warned, "SMBIOS strings are ours", ""},
	{"board-id*", Warned, "Apple hardware is not imitated", ""},
	{"smc.*", Warned, "Apple hardware is not imitated", ""},
	{"hw.model*", Warned, "Apple hardware is not imitated", ""},
	{"serialnumber*", Warned, "Apple hardware is not imitated", ""},

	// CPU and memory.
	{"memsize", Honoured, "memory in MB", ""},
	{"numvcpus", Honoured, "virtual CPUs", ""},
	{"cpuid.corespersocket", Honoured, "cores per socket", ""},
	{"cpuid.corespersocket.cookie", Harmless, "VMware's own bookkeeping", ""},
	{"cpuid.*", Warned, "CPUID masks are not applied: the guest sees the host's features", ""},
	{"vhv.enable", Honoured, "virtualisation inside the guest", ""},
	{"hypervisor.cpuid.v0", Honoured, "FALSE hides the hypervisor", ""},
	{"vpmc.enable", Warned, "performance counters are not passed through", ""},
	{"vvtd.enable", Warned, "there is no virtual IOMMU", ""},
	{"sched.cpu.shares", Honoured, "relative CPU weight", ""},
	{"sched.cpu.max", Honoured, "CPU limit in MHz", ""},
	{"sched.cpu.*", Harmless, "host scheduling of VMware", ""},
	{"sched.mem.*", Harmless, "host memory policy of VMware", ""},
	{"sched.swap.*", Harmless, "host memory policy of VMware", ""},
	{"sched.@:n.throughputcap", Honoured, "limit of the disk in operations a second", ""},
	{"sched.@:n.bandwidthcap", Honoured, "limit of the disk in bytes a second", ""},
	{"sched.*", Harmless, "host scheduling of VMware", ""},
	{"mem.hotadd", Harmless, "memory cannot be added to a running machine", ""},
	{"vcpu.hotadd", Harmless, "CPUs cannot be added to a running machine", ""},
	{"vcpu.*", Harmless, "CPU policy of VMware", ""},
	{"numa.*", Harmless, "NUMA layout is the host's matter", ""},
	{"processorn.*", Harmless, "CPU affinity is the host's matter", ""},
	{"maxvcpus", Harmless, "limit of VMware's products", ""},
	{"mainmem.*", Harmless, "how VMware backs guest memory", ""},
	{"memallowautoscaledown", Harmless, "how VMware backs guest memory", ""},
	{"memtrimrate", Harmless, "how VMware backs guest memory", ""},
	{"prefvmx.*", Harmless, "how VMware backs guest memory", ""},
	{"featmask.*", Warned, "CPU feature masks are not applied", ""},
	{"featurecompat.*", Harmless, "migration between VMware hosts", ""},
	{"evccompatibilitymode", Harmless, "migration between VMware hosts", ""},
	{"monitor.*", Harmless, "tuning of VMware's monitor", ""},
	{"monitor_control.restrict_backdoor", Honoured, "TRUE closes the backdoor port", ""},
	{"monitor_control.*", Warned, "tuning of VMware's monitor has no counterpart", ""},
	{"ulm.*", Harmless, "tuning of VMware's monitor", ""},
	{"keyboard.*", Harmless, "tuning of VMware's keyboard", ""},

	// Firmware and clock.
	{"firmware", Honoured, "bios or efi", ""},
	{"uefi.secureboot.enabled", Honoured, "Secure Boot", ""},
	{"uefi.*", Warned, "this EFI setting has no counterpart", ""},
	{"efi.*", Warned, "this EFI setting has no counterpart", ""},
	{"nvram", Honoured, "VMware's variable store is kept, never read or changed: boot entries in it are not used", ""},
	{"nvram.*", Harmless, "VMware's variable store", ""},
	{"bios.bootorder", Honoured, "boot order", ""},
	{"bios.hddorder", Honoured, "which disk boots", ""},
	{"bios.bootdelay", Honoured, "wait before booting, in milliseconds", ""},
	{"bios.forcesetuponce", Honoured, "enter set-up", ""},
	{"biosn.filename", Refused, "the machine brings its own firmware, which is made for VMware's board", "remove the key"},
	{"efi64.filename", Refused, "the machine brings its own firmware, which is made for VMware's board", "remove the key"},
	{"bios.*", Harmless, "detail of VMware's BIOS", ""},
	{"rtc.difffromutc", Honoured, "offset of the clock in seconds", ""},
	{"rtc.starttime", Honoured, "clock at power-on, seconds since 1970", ""},
	{"rtc.*", Harmless, "detail of VMware's clock", ""},
	{"time.synchronize.*", Harmless, "details of time synchronisation by VMware Tools", ""},
	{"timetracker.*", Harmless, "tuning of VMware's clock", ""},
	{"hpetn.present", Honoured, "high precision event timer", ""},
	{"vtpm.present", Honoured, "TPM 2.0", ""},
	{"vtpm.*", Warned, "VMware's TPM state is encrypted and cannot be taken over", ""},

	// PCI.
	{"pcibridgen.present", Honoured, "PCI bridge", ""},
	{"pcibridgen.virtualdev", Honoured, "kind of PCI bridge", ""},
	{"pcibridgen.functions", Honoured, "functions of a root port", ""},
	{"pcibridgen.pcislotnumber", Honoured, "PCI slot", ""},
	{"pcibridgen*", Harmless, "detail of a PCI bridge", ""},
	{"pcipassthru*", Refused, "a PCI device of VMware's host is passed through", "remove the device"},
	{"pciholes*", Harmless, "address layout of VMware's board", ""},
	{"pcihole.*", Harmless, "address layout of VMware's board", ""},
	{"svga.pcislotnumber", Harmless, "the display adapter's slot is the board's choice", ""},
	{"vmcin.*", Harmless, "VMware's host-guest channel does not exist here; guests do without it", ""},

	// Disks.
	{"scsin.present", Honoured, "SCSI controller", ""},
	{"scsin.virtualdev", Honoured, "model of the controller", ""},
	{"scsin.pcislotnumber", Honoured, "PCI slot", ""},
	{"scsin.saswwid", Honoured, "SAS address", ""},
	{"scsin.sharedbus", Honoured, "only \"none\" is possible", ""},
	{"satan.present", Honoured, "AHCI controller", ""},
	{"satan.pcislotnumber", Honoured, "PCI slot", ""},
	{"nvmen.present", Honoured, "NVMe controller", ""},
	{"nvmen.pcislotnumber", Honoured, "PCI slot", ""},
	{"iden.present", Harmless, "the IDE controller exists where a drive needs it", ""},
	{"@:n.present", Honoured, "drive", ""},
	{"@:n.filename", Honoured, "image of the drive", ""},
	{"@:n.devicetype", Honoured, "kind of drive", ""},
	{"@:n.mode", Honoured, "part in snapshots", ""},
	{"@:n.writethrough", Honoured, "writes are durable at once", ""},
	{"@:n.startconnected", Honoured, "medium inserted at power-on", ""},
	{"@:n.readonly", Honoured, "write protection", ""},
	{"@:n.redo", Honoured, "must be empty", ""},
	{"@:n.throughputcap", Honoured, "limit of the disk in operations a second", ""},
	{"@:n.*", Harmless, "detail of the drive", ""},
	{"@.*", Harmless, "detail of the controller", ""},
	{"floppyn.present", Honoured, "floppy drive; without an image there is none", ""},
	{"floppyn.filename", Honoured, "image of the floppy", ""},
	{"floppyn.filetype", Honoured, "kind of floppy", ""},
	{"floppyn.startconnected", Honoured, "medium inserted at power-on", ""},
	{"floppyn.readonly", Honoured, "write protection", ""},
	{"floppyn.*", Harmless, "detail of the floppy drive", ""},
	{"disk.locking", Warned, "disks are always locked", ""},
	{"disk.*", Harmless, "disk tuning of VMware", ""},
	{"disklib.*", Harmless, "disk tuning of VMware", ""},
	{"ctkenabled", Harmless, "changed block tracking is not kept up", ""},
	{"snapshot.action", Warned, "nothing is reverted at power-off", "use vmm.overlay = \"disposable\""},
	{"snapshot.*", Harmless, "snapshot policy of VMware", ""},
	{"rollingtier*", Harmless, "automatic snapshots of VMware", ""},
	{"workingdir", Warned, "files are kept beside the .vmx", ""},

	// Network.
	{"ethernetn.present", Honoured, "network adapter", ""},
	{"ethernetn.virtualdev", Honoured, "model of the adapter", ""},
	{"ethernetn.connectiontype", Honoured, "network", ""},
	{"ethernetn.vnet", Honoured, "network", ""},
	{"ethernetn.addresstype", Honoured, "where the MAC address comes from", ""},
	{"ethernetn.address", Honoured, "MAC address", ""},
	{"ethernetn.generatedaddress", Honoured, "MAC address", ""},
	{"ethernetn.pcislotnumber", Honoured, "PCI slot", ""},
	{"ethernetn.startconnected", Honoured, "link at power-on", ""},
	{"ethernetn.networkname", Harmless, "port group of an ESXi host", ""},
	{"ethernetn.filtern.*", Warned, "network filters of ESXi are not applied", ""},
	{"ethernetn.rxbw.*", Warned, "the rate limit of a single adapter is not kept", "limit all of them with vmm.limit.net.in"},
	{"ethernetn.txbw.*", Warned, "the rate limit of a single adapter is not kept", "limit all of them with vmm.limit.net.out"},
	{"ethernetn.rxfi.*", Warned, "packet loss is not simulated", ""},
	{"ethernetn.txfi.*", Warned, "packet loss is not simulated", ""},
	{"ethernetn.*", Harmless, "detail of the adapter or of VMware's network", ""},

	// Display, input, sound, USB.
	{"svga.present", Harmless, "there is always a display", ""},
	{"svga.vramsize", Honoured, "video memory in bytes", ""},
	{"svga.maxwidth", Honoured, "largest screen", ""},
	{"svga.maxheight", Honoured, "largest screen", ""},
	{"svga.numdisplays", Honoured, "screens", ""},
	{"svga.*", Harmless, "detail of VMware's display adapter", ""},
	{"mks.enable3d", Warned, "there is no 3D acceleration", ""},
	{"mks.*", Harmless, "detail of VMware's display", ""},
	{"gui.fullscreenatpoweron", Honoured, "full screen at power-on", ""},
	{"gui.*", Harmless, "window settings of VMware", ""},
	{"fullscreenswitch.*", Harmless, "window settings of VMware", ""},
	{"unity.*", Harmless, "window settings of VMware", ""},
	{"remotedisplay.vnc.enabled", Honoured, "VNC server", ""},
	{"remotedisplay.vnc.port", Honoured, "VNC port", ""},
	{"remotedisplay.vnc.ip", Honoured, "VNC address; loopback by default", ""},
	{"remotedisplay.vnc.password", Honoured, "VNC password", ""},
	{"remotedisplay.vnc.keymap", Honoured, "VNC keyboard layout", ""},
	{"remotedisplay.vnc.key", Warned, "VMware's scrambled VNC password cannot be read", "set remotedisplay.vnc.password"},
	{"remotedisplay.*", Harmless, "console settings of ESXi", ""},
	{"vmotion.*", Harmless, "migration between VMware hosts", ""},
	{"usb.present", Honoured, "USB 1.1 controller and tablet", ""},
	{"usb.pcislotnumber", Honoured, "PCI slot", ""},
	{"ehci.present", Honoured, "USB 2.0 controller", ""},
	{"ehci.pcislotnumber", Honoured, "PCI slot", ""},
	{"usb_xhci.present", Honoured, "USB 3 controller and tablet", ""},
	{"usb_xhci.pcislotnumber", Honoured, "PCI slot", ""},
	{"usb.autoconnect.*", Warned, "USB devices of the host are not passed through", ""},
	{"usb*", Harmless, "detail of USB", ""},
	{"ehci*", Harmless, "detail of USB", ""},
	{"mouse.*", Harmless, "detail of the mouse", ""},
	{"vmmouse.*", Harmless, "detail of the mouse", ""},
	{"sound.present", Honoured, "sound card", ""},
	{"sound.virtualdev", Honoured, "model of the sound card", ""},
	{"sound.pcislotnumber", Honoured, "PCI slot", ""},
	{"sound.*", Harmless, "host side of the sound card", ""},

	// Ports.
	{"serialn.present", Honoured, "serial port", ""},
	{"serialn.filetype", Honoured, "what the port is wired to", ""},
	{"serialn.filename", Honoured, "what the port is wired to", ""},
	{"serialn.pipe.endpoint", Honoured, "server or client", ""},
	{"serialn.network.endpoint", Honoured, "server or client", ""},
	{"serialn.yieldonmsrread", Honoured, "give up the CPU while the guest polls", ""},
	{"serialn.startconnected", Honoured, "wired at power-on", ""},
	{"serialn.vspc*", Warned, "virtual serial port concentrators are not spoken to", ""},
	{"serialn.*", Harmless, "detail of the serial port", ""},
	{"paralleln.present", Warned, "there is no parallel port", ""},
	{"paralleln.*", Harmless, "there is no parallel port", ""},

	// Tools, isolation, data for the guest.
	{"tools.synctime", Honoured, "time synchronisation", ""},
	{"tools.*", Harmless, "VMware Tools keep working with what they find", ""},
	{"toolscripts.*", Harmless, "scripts of VMware Tools", ""},
	{"toolsinstallmanager.*", Harmless, "VMware's own bookkeeping", ""},
	{"isolation.tools.copy.disable", Honoured, "clipboard from the guest", ""},
	{"isolation.tools.paste.disable", Honoured, "clipboard to the guest", ""},
	{"isolation.tools.dnd.disable", Harmless, "there is no drag and drop", ""},
	{"isolation.*", Harmless, "what it would forbid is not offered", ""},
	{"sharedfolder.*", Harmless, "shared folders", ""},
	{"sharedfoldern.present", Warned, "shared folders are not offered", ""},
	{"sharedfoldern.*", Harmless, "shared folders", ""},
	{"hgfs.*", Harmless, "shared folders", ""},
	{"guestinfo.*", Honoured, "data for the guest", ""},
	{"guest_rpc.*", Harmless, "rights of VMware Tools", ""},
	{"guest.*", Harmless, "what VMware Tools last reported", ""},
	{"log.*", Harmless, "VMware's log", ""},
	{"logging", Harmless, "VMware's log", ""},
	{"debugstub.*", Warned, "VMware's debugger port is not opened", ""},
	{"answer.*", Harmless, "answers to VMware's questions", ""},
	{"msg.*", Harmless, "answers to VMware's questions", ""},
	{"hints.*", Harmless, "messages of VMware", ""},

	// State and bookkeeping.
	{"powertype.poweroff", Honoured, "vmm stop presses the power button", ""},
	{"powertype.reset", Honoured, "vmm reset is the reset button, whatever this says", ""},
	{"powertype.suspend", Honoured, "vmm suspend asks no guest, whatever this says", ""},
	{"powertype.*", Harmless, "power-on runs no script", ""},
	{"checkpoint.vmstate", Honoured, "must be empty", ""},
	{"checkpoint.*", Harmless, "VMware's own bookkeeping", ""},
	{"suspend.*", Harmless, "suspend policy of VMware", ""},
	{"migrate.*", Harmless, "migration between VMware hosts", ""},
	{"migration.*", Harmless, "migration between VMware hosts", ""},
	{"cleanshutdown", Harmless, "VMware's own bookkeeping", ""},
	{"softpoweroff", Harmless, "VMware's own bookkeeping", ""},
	{"extendedconfigfile", Harmless, "team settings of VMware", ""},
	{"vmxstats.*", Harmless, "statistics of VMware", ""},
	{"replay.*", Harmless, "record and replay of VMware", ""},
	{"tracing.*", Harmless, "statistics of VMware", ""},
	{"proxyapps.*", Harmless, "window settings of VMware", ""},
	{"roamingvm.*", Harmless, "window settings of VMware", ""},
	{"autostart", Harmless, "start with VMware's host", ""},
	{"inventory.*", Harmless, "VMware's own bookkeeping", ""},
	{"vmx.*", Harmless, "VMware's own bookkeeping", ""},
	{"vm.*", Harmless, "VMware's own bookkeeping", ""},
	{"pref.*", Harmless, "settings of VMware", ""},
	{"priority.*", Harmless, "process priority of VMware", ""},
	{"deploymentplatform", Harmless, "VMware's own bookkeeping", ""},
	{"cloneof*", Harmless, "VMware's own bookkeeping", ""},
	{"sidechannel.*", Harmless, "mitigations are the host kernel's matter", ""},
	{"windows.vbs.*", Warned, "virtualisation-based security needs vhv.enable", ""},
	{"vbs.enabled", Warned, "virtualisation-based security needs vhv.enable", ""},
	{"appliance.*", Harmless, "vApp properties", ""},
	{"vapp.*", Harmless, "vApp properties", ""},
	{"dumper.*", Harmless, "how VMware writes its state files", ""},
	{"ft.*", Harmless, "fault tolerance of ESXi", ""},
	{"faulttolerance.*", Harmless, "fault tolerance of ESXi", ""},

	// Ours.
	{"vmm.kernel", Honoured, "boot this kernel directly", ""},
	{"vmm.initrd", Honoured, "initial RAM disk", ""},
	{"vmm.cmdline", Honoured, "kernel command line", ""},
	{"vmm.board", Honoured, "fast or pc", ""},
	{"vmm.display", Honoured, "graphics card: vga, virtio or none", ""},
	{"vmm.console", Honoured, "serial port on the terminal", ""},
	{"vmm.input", Honoured, "virtio or none: devices for keys and pointer", ""},
	{"vmm.hotkey", Honoured, "key that brings the machine to the front", ""},
	{"vmm.priority", Honoured, "low, normal or high", ""},
	{"vmm.overlay", Honoured, "none, disposable or keep", ""},
	{"vmm.restart", Honoured, "start again when it dies", ""},
	{"vmm.clipboard", Honoured, "which ways the clipboard's text goes: off, in, out or both", ""},
	{"vmm.agent", Honoured, "a port by which the guest learns that it was restored from a snapshot", ""},
	{"vmm.instant", Honoured, "start from a snapshot of the running machine", ""},
	{"vmm.memory.balloon", Honoured, "the guest can give memory back to the host", ""},
	{"vmm.memory.ksm", Honoured, "the host may merge equal pages of several guests", ""},
	{"vmm.publish", Honoured, "host ports that lead to the guest", ""},
	{"vmm.hostaccess", Honoured, "the guest may reach services of the host", ""},
	{"vmm.net.allow", Honoured, "what the guest may reach", ""},
	{"vmm.net.lan", Honoured, "the guest may reach the host's own network", ""},
	{"vmm.limit.*", Honoured, "limit on what the machine takes from its host", ""},
	{"vmm.vsock.cid", Honoured, "host-guest socket", ""},
	{"vmm.ethernetn.bridge", Honoured, "not joined: name a TAP device on it", ""},
	{"vmm.ethernetn.tap", Honoured, "TAP device of the host", ""},
	{"vmm.ethernetn.tftp", Honoured, "folder that the guest can read by TFTP", ""},
	{"vmm.ethernetn.bootfile", Honoured, "what a guest loads that boots from the network", ""},
	{"vmm.ethernetn.bootscript", Honoured, "what iPXE loads in its place", ""},
	{"vmm.@:n.serial", Honoured, "serial number of the drive", ""},
	{"vmm.kiosk.url", Honoured, "start page", ""},
	{"vmm.kiosk.allow", Honoured, "allowed hosts", ""},
	{"vmm.kiosk.keyboard", Honoured, "keyboard layout", ""},
	{"vmm.kiosk.language", Honoured, "language", ""},
	{"vmm.kiosk.proxy", Honoured, "proxy", ""},
	{"vmm.kiosk.ca", Honoured, "file with certificates of authorities that the browser trusts", ""},
}

// isDevice reports whether a key belongs to a device: such keys may stand behind vmm. to say something else to vmm than to
// VMware.
func isDevice(key string) bool {
	for _, family := range []string{"@*", "floppyn.*", "ethernetn.*", "serialn.*"} {
		if match(family, fold(key)) {
			return true
		}
	}
	return false
}

// classify finds the rule for a key.
func classify(key string) rule {
	key = fold(key)
	if device, ok := strings.CutPrefix(key, vmmPrefix); ok {
		for _, r := range rules {
			if strings.HasPrefix(r.pattern, vmmPrefix) && match(r.pattern, key) {
				return r
			}
		}
		if r := classify(device); isDevice(device) && r.class == Honoured {
			r.reason += ", for vmm alone"
			return r
		}
		return rule{key, Warned, "vmm has no such key", "check the spelling"}
	}
	for _, r := range rules {
		if match(r.pattern, key) {
			return r
		}
	}
	return rule{key, Harmless, "not known to vmm: kept, without effect", ""}
}

// match reports whether key fits a pattern.
func match(pattern, key string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '*':
			return true
		case c == '@':
			for _, bus := range []string{"scsi", "sata", "nvme", "ide"} {
				if rest, ok := strings.CutPrefix(key, bus); ok && match("n"+pattern[1:], rest) {
					return true
				}
			}
			return false
		case c == 'n' && digits(key) > 0:
			key = key[digits(key):]
		case key == "" || key[0] != c:
			return false
		default:
			key = key[1:]
		}
		pattern = pattern[1:]
	}
	return key == ""
}

// digits is how many decimal digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
