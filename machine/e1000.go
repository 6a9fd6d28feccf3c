package machine

import "github.com/sharevm/vmm/devices/e1000"

func (b *board) addE1000(c card) error { return b.addIntel(c, e1000.Model82545EM) }

func (b *board) addE1000E(c card) error { return b.addIntel(c, e1000.Model82574L) }

func (b *board) addIntel(c card, m e1000.Model) error {
	dev, err := e1000.New(e1000.Config{
		Model: m, Name: c.name, MAC: c.mac, Link: c.link, LinkDown: c.down, In: c.gates.in, Out: c.gates.out, Memory: b.mem, MSI: b.vm, Log: b.m.log,
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	b.m.cables.wire(c.Index, dev)
	b.bootCard(c, dev.Function())
	return b.plugFunction(c.Slot, c.name, dev.Function(), dev)
}
