package vmx

import (
	"fmt"
	"strings"

	"github.com/sharevm/vmm/config"
)

func (l *loader) network() {
	for _, n := range l.numbered("ethernet", config.MaxNICs) {
		name := fmt.Sprintf("ethernet%d", n)
		nic := config.NIC{Index: n, Slot: l.slot(name), Connected: l.bool(name+".startConnected", true)}
		nic.Model = l.nicModel(name)
		l.mac(name, &nic)
		l.connection(name, &nic)
		l.netBoot(vmmPrefix+name, &nic)
		l.m.NICs = append(l.m.NICs, nic)
	}
	l.publish()
	l.firewall()
}

func (l *loader) nicModel(name string) config.NICModel {
	model := config.NICModel(l.word(name + ".virtualDev"))
	switch model {
	case "":
		model = config.DefaultNIC(l.m.GuestOS)
	case "vmxnet2", "vmxnet", "flexible":
		l.warn(name+".virtualDev", "", "%q is taken for vlance, which its driver falls back to", model)
		model = config.NICVlance
	case config.NICVlance, config.NICE1000, config.NICE1000E, config.NICVmxnet3, config.NICVirtio:
	default:
		l.refuse(name+".virtualDev", "", "%q must be vlance, e1000, e1000e or vmxnet3", clip(string(model)))
	}
	if l.m.Board == config.BoardFast {
		model = config.NICVirtio
	}
	return model
}

func (l *loader) mac(name string, nic *config.NIC) {
	key := name + ".generatedAddress"
	switch s := l.word(name + ".addressType"); s {
	case "", "generated":
		nic.MACSource = config.MACGenerated
	case "vpx":
		nic.MACSource = config.MACVPX
	case "static":
		nic.MACSource, key = config.MACStatic, name+".address"
	default:
		l.warn(name+".addressType", "", "%q must be generated, static or vpx", clip(s))
		nic.MACSource = config.MACGenerated
	}
	s, _ := l.str(key)
	if s == "" {
		return
	}
	mac, err := config.ParseMAC(strings.TrimSpace(s))
	if err != nil {
		l.refuse(key, "", "%v", err)
	}
	nic.MAC = mac
}

func (l *loader) connection(name string, nic *config.NIC) {
	key := name + ".connectionType"
	kind := l.word(key)
	if kind == "custom" {
		key = name + ".vnet"
		kind = vmnet(l.word(key))
	}
	bridge, _ := l.str(vmmPrefix + name + ".bridge")
	tap, _ := l.str(vmmPrefix + name + ".tap")
	switch {
	case tap != "":
		l.hostInterface(vmmPrefix+name+".tap", config.ConnTap, tap, nic)
		return
	case bridge != "":
		l.hostInterface(vmmPrefix+name+".bridge", config.ConnBridged, bridge, nic)
		return
	}
	nic.Connection = config.ConnUser
	switch kind {
	case "nat", "user":
	case "hostonly":
		nic.Connection = config.ConnHostOnly
	case "none":
		nic.Connection = config.ConnNone
	case "", "bridged", "monitor_dev":
		l.warn(key, fmt.Sprintf("name a TAP device on a bridge of the host with vmm.%s.tap, or set connectionType to nat", name),
			"bridged networking needs a bridge of the host: NAT is used instead")
	default:
		nic.Connection = config.ConnHostOnly
		l.warn(key, "", "network %q is not known: the adapter gets a network of its own without a way out", clip(kind))
	}
}

// vmnet translates VMware's three standard networks.
func vmnet(name string) string {
	switch strings.TrimPrefix(name, "/dev/") {
	case "vmnet0":
		return "bridged"
	case "vmnet1":
		return "hostonly"
	case "vmnet8":
		return "nat"
	case "":
		return "custom"
	}
	return name
}

// netBoot reads what a guest finds that boots from the network.
func (l *loader) netBoot(name string, nic *config.NIC) {
	b := &nic.Boot
	if folder, _ := l.str(name + ".tftp"); folder != "" {
		b.Folder = l.folder(name+".tftp", folder)
	}
	for _, f := range []struct {
		key   string
		value *string
	}{{name + ".bootFile", &b.File}, {name + ".bootScript", &b.Script}} {
		*f.value, _ = l.str(f.key)
		if *f.value != "" && b.Folder == "" && !strings.Contains(*f.value, "://") {
			l.refuse(f.key, fmt.Sprintf("name a folder that has it with %s.tftp, or give a URL", name), "%q is a file by TFTP, and no folder is served", clip(*f.value))
		}
	}
	if *b != (config.NetBoot{}) && nic.Connection != config.ConnUser && nic.Connection != config.ConnHostOnly {
		l.warn(name, "", "its network has a DHCP server of its own: what to boot is not told")
		*b = config.NetBoot{}
	}
}

func (l *loader) hostInterface(key string, conn config.Connection, device string, nic *config.NIC) {
	if !l.opt.AllowHostDevices {
		l.refuse(key, adviceDevices, "the adapter would be wired to the host's %s", clip(device))
		return
	}
	nic.Connection, nic.Interface = conn, device
}

// publish gives the port forwards to the first adapter in a user-mode network.
func (l *loader) publish() {
	list, _ := l.str("vmm.publish")
	access := l.bool("vmm.hostAccess", false)
	if access && !l.opt.AllowHostAccess {
		l.warn("vmm.hostAccess", adviceNetwork, "the guest does not get access to services of the host")
		access = false
	}
	var first *config.NIC
	for i := range l.m.NICs {
		nic := &l.m.NICs[i]
		if nic.Connection == config.ConnUser || nic.Connection == config.ConnHostOnly {
			nic.HostAccess = access
		}
		if nic.Connection == config.ConnUser && first == nil {
			first = nic
		}
	}
	for _, spec := range splitList(list) {
		f, err := config.ParseForward(spec)
		switch {
		case err != nil:
			l.refuse("vmm.publish", "", "%v", err)
		case first == nil:
			l.warn("vmm.publish", "", "no adapter has a NAT network: no port is published")
		case !f.HostAddr.IsLoopback() && !l.opt.AllowHostAccess:
			l.refuse("vmm.publish", adviceNetwork, "%s would be open to the network", f)
		default:
			first.Publish = append(first.Publish, f)
		}
	}
}

// firewall gives every adapter in a user-mode network what it may reach. The browser machine's allowed hosts hold here too, lest its pages get around them.
func (l *loader) firewall() {
	key := "vmm.net.allow"
	list, _ := l.str(key)
	if list == "" {
		key = "vmm.kiosk.allow"
		list, _ = l.str(key)
	}
	var rules []config.NetRule
	for _, entry := range splitList(list) {
		r, err := config.ParseNetRule(entry)
		switch {
		case err != nil:
			l.refuse(key, "", "%v", err)
		case r.Local() && !l.opt.AllowHostAccess:
			l.refuse(key, adviceNetwork, "%s lies in the host's own network", r)
		default:
			rules = append(rules, r)
		}
	}
	if list != "" && len(splitList(list)) == 0 {
		l.refuse(key, "remove the key to allow everything", "the list names no place")
	}
	lan := l.bool("vmm.net.lan", false)
	if lan && !l.opt.AllowHostAccess {
		l.warn("vmm.net.lan", adviceNetwork, "the guest does not get access to the host's own network")
		lan = false
	}
	for i := range l.m.NICs {
		if nic := &l.m.NICs[i]; nic.Connection == config.ConnUser {
			nic.Allow, nic.LAN = rules, lan
		}
	}
}
