package machine

import "github.com/sharevm/vmm/devices/vmxnet3"

func (b *board) addVmxnet3(c card) error {
	dev, err := vmxnet3.New(vmxnet3.Config{
		Name: c.name, MAC: c.mac, Link: c.link, LinkDown: c.down, In: c.gates.in, Out: c.gates.out, Memory: b.mem, MSI: b.vm, Log: b.m.log,
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	b.m.cables.wire(c.Index, dev)
	b.bootCard(c, dev.Function())
	return b.plugFunction(c.Slot, c.name, dev.Function(), dev)
}
