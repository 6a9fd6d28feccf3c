package vmx

import (
	"fmt"
	"strings"

	"github.com/sharevm/vmm/config"
)

// unserved warns of what is read and kept, and asks for something that vmm does not do, and refuses that without which the machine would not start or do nothing. What VMware writes into every file, and what asks for no more than is done anyway, is no matter.
func (l *loader) unserved() {
	m := l.m
	const noBackdoor = "the guest's VMware Tools find no backdoor here"
	for _, w := range []struct {
		asked       bool
		key, advice string
		reason      string
	}{
		{m.Run.Hotkey != "", "vmm.hotkey", "choose the session's key with vmm session --hotkey", "a machine has no key of its own: the session's turns to the next one"},
		{m.Run.Priority != config.PriorityNormal, "vmm.priority", "set vmm.limit.cpu.shares", "machines of a session rank by which one is in front"},
		{m.Vsock.CID != 0, "vmm.vsock.cid", "", "there is no socket between host and guest"},
		{m.Power.Off == config.PowerHard, "powerType.powerOff", "vmm stop --hard takes the power away", "vmm stop presses the power button"},
		{m.Tools.SyncTime, "tools.syncTime", "", noBackdoor + ": the guest keeps its own time"},
		{m.Display.VNC.KeyMap != "", "RemoteDisplay.vnc.keymap", "", "viewers' keys are not translated from one layout to another"},
		{m.USB.UHCI, "usb.present", "", "there is no USB controller; keys and pointer come another way"},
		{m.USB.EHCI, "ehci.present", "", "there is no USB controller"},
		{m.USB.XHCI, "usb_xhci.present", "", "there is no USB controller; keys and pointer come another way"},
	} {
		if w.asked {
			l.warn(w.key, w.advice, "%s", w.reason)
		}
	}
	for _, key := range l.f.Keys() {
		if strings.HasPrefix(fold(key), "guestinfo.") {
			l.warn(key, "", "%s: nothing hands it on", noBackdoor)
		}
	}
	for i := range m.Controllers {
		if c := &m.Controllers[i]; c.Model == config.ControllerBusLogic {
			l.refuse(c.Bus.String()+".virtualDev", fmt.Sprintf("set vmm.%s.virtualDev to lsilogic or pvscsi, if the guest has a driver for that", c.Bus), "there is no BusLogic adapter")
		}
	}
	for i := range m.NICs {
		n := &m.NICs[i]
		name := fmt.Sprintf("ethernet%d", n.Index)
		if n.Model == config.NICVlance {
			l.warn(name+".virtualDev", fmt.Sprintf("set vmm.%s.virtualDev to e1000, if the guest has a driver for that", name), "there is no AMD PCnet card (vlance): the adapter is left out")
		}
		if n.Connection == config.ConnBridged {
			l.refuse(vmmPrefix+name+".bridge", fmt.Sprintf("make a TAP device on the bridge, and name that with vmm.%s.tap", name), "the adapter does not join a bridge by itself")
		}
	}
	if s := m.Sound.Model; s != config.SoundNone && s != config.SoundHDA {
		l.warn("sound.virtualDev", `set it to "hdaudio"`, "there is no %s: the machine is silent", s)
	}
	for i := range m.Disks {
		if d := &m.Disks[i]; d.Media == config.MediaFloppy {
			l.warn(d.Address.Bus.String()+".fileName", "", "there is no floppy drive")
		}
	}
	for _, s := range m.Serials {
		if s.Kind == config.SerialPipe || s.Kind == config.SerialNetwork || s.Kind == config.SerialDevice {
			l.warn(fmt.Sprintf("serial%d.fileType", s.Index), "only a file and this terminal (vmm.console) can stand behind one", "the port is there and leads nowhere")
		}
	}
}
