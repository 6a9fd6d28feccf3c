package vmx

import (
	"math"

	"github.com/sharevm/vmm/config"
)

// wishes reads the keys that are vmm's own and concern no device.
func (l *loader) wishes() {
	r := &l.m.Run
	r.Hotkey, _ = l.str("vmm.hotkey")
	r.Restart = l.bool("vmm.restart", false)
	switch p := config.Priority(l.word("vmm.priority")); p {
	case "":
	case config.PriorityLow, config.PriorityNormal, config.PriorityHigh:
		r.Priority = p
	default:
		l.refuse("vmm.priority", "", "%q must be low, normal or high", clip(string(p)))
	}
	switch o := config.Overlay(l.word("vmm.overlay")); o {
	case "":
	case config.OverlayNone, config.OverlayDisposable, config.OverlayKeep:
		r.Overlay = o
	default:
		l.refuse("vmm.overlay", "", "%q must be none, disposable or keep", clip(string(o)))
	}
	switch c := config.Clipboard(l.word("vmm.clipboard")); c {
	case config.ClipboardAuto, config.ClipboardOff, config.ClipboardIn, config.ClipboardOut, config.ClipboardBoth:
		r.Clipboard = c
	default:
		l.refuse("vmm.clipboard", "", "%q must be off, in, out or both", clip(string(c)))
	}
	r.Balloon = l.bool("vmm.memory.balloon", true)
	r.KSM = l.bool("vmm.memory.ksm", false)
	r.Agent = l.bool("vmm.agent", false)
	r.Instant = l.bool("vmm.instant", false)
	k := &r.Kiosk
	k.URL, _ = l.str("vmm.kiosk.url")
	k.Keyboard, _ = l.str("vmm.kiosk.keyboard")
	k.Language, _ = l.str("vmm.kiosk.language")
	k.Proxy, _ = l.str("vmm.kiosk.proxy")
	if s, _ := l.str("vmm.kiosk.ca"); s != "" {
		k.CA = l.file("vmm.kiosk.ca", s)
	}
	allow, _ := l.str("vmm.kiosk.allow")
	k.Allow = splitList(allow)
	// 0 to 2 and the highest number are reserved (virtio 1.2, section 5.10.4).
	l.m.Vsock.CID = uint32(l.int("vmm.vsock.cid", 0, 0, math.MaxUint32-1))
}
