package config

// Clipboard says which ways text goes between the guest's clipboard and that of whoever looks at its screen.
type Clipboard string

// The ways.
const (
	ClipboardAuto Clipboard = ""     // both, but neither where the guest's writes are thrown away or its system is Windows, which lacks a driver for the port
	ClipboardOff  Clipboard = "off"  // neither
	ClipboardIn   Clipboard = "in"   // from the host to the guest
	ClipboardOut  Clipboard = "out"  // from the guest to the host
	ClipboardBoth Clipboard = "both" // both
)

// SharesClipboard says whether text goes in to the guest, and out of it. VMware's own keys can only forbid.
func (m *Machine) SharesClipboard() (in, out bool) {
	c := m.Run.Clipboard
	if c == ClipboardAuto && m.Run.Overlay != OverlayDisposable && !IsWindows(m.GuestOS) {
		c = ClipboardBoth
	}
	return (c == ClipboardIn || c == ClipboardBoth) && !m.Tools.NoPaste, (c == ClipboardOut || c == ClipboardBoth) && !m.Tools.NoCopy
}
