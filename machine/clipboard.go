package machine

import (
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/vdagent"
	"github.com/sharevm/vmm/virtio/console"
)

// Clipboard is the text that the guest shares with whoever looks at its screen; nil where it shares none. It outlives power cycles.
func (m *Machine) Clipboard() *frontend.Clipboard {
	if in, out := m.cfg.SharesClipboard(); !in && !out || len(m.screens) == 0 {
		return nil
	}
	return &m.clipboard
}

// addClipboard adds the port for the agent in the guest, where there is something to share. The agent is told what size the first screen should have, too.
func (b *board) addClipboard() error {
	shared := b.m.Clipboard()
	if shared == nil {
		return nil
	}
	in, out := b.m.cfg.SharesClipboard()
	a := vdagent.New(vdagent.Config{Clipboard: shared, In: in, Out: out, Restored: b.from != nil, Log: b.m.log})
	dev, err := console.New(console.Config{Ports: []console.PortConfig{{Name: vdagent.PortName, In: a, Out: a, Opened: a.Opened}}, Log: b.m.log})
	if err != nil {
		_ = a.Close()
		return err
	}
	a.Attach(func(open bool) { dev.SetOpen(0, open) })
	b.spice = a
	// Not every driver of a graphics card looks for another monitor: the agent sets the size of an X server by itself.
	b.closers = append(b.closers, dev, a, closeFunc(b.m.screens[0].OnWish(a.Wish)))
	return b.plug("clipboard", dev)
}
