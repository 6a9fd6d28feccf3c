package config

import "testing"

func TestSharesClipboard(t *testing.T) {
	for _, test := range []struct {
		change  func(*Machine)
		in, out bool
	}{
		{func(*Machine) {}, true, true},
		{func(m *Machine) { m.Run.Overlay = OverlayDisposable }, false, false},
		{func(m *Machine) { m.GuestOS = "windows9-64" }, false, false},
		{func(m *Machine) { m.Run.Overlay, m.Run.Clipboard = OverlayDisposable, ClipboardIn }, true, false},
		{func(m *Machine) { m.Run.Clipboard = ClipboardOut }, false, true},
		{func(m *Machine) { m.Run.Clipboard = ClipboardOff }, false, false},
		{func(m *Machine) { m.Tools.NoCopy = true }, true, false},
		{func(m *Machine) { m.Run.Clipboard, m.Tools.NoPaste = ClipboardBoth, true }, false, true},
	} {
		m := New("vm")
		test.change(m)
		if in, out := m.SharesClipboard(); in != test.in || out != test.out {
			t.Errorf("clipboard %q, overlay %s, %s: in %t, out %t", m.Run.Clipboard, m.Run.Overlay, m.GuestOS, in, out)
		}
	}
}
