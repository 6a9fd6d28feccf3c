package machine

import (
	"fmt"
	"slices"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
)

// The bridges that VMware's machines have, by which their systems know them again.
var (
	plainBridge = pci.Identity{Vendor: 0x15ad, Device: 0x0790, Class: 0x060400, Revision: 2}
	rootPort    = pci.Identity{Vendor: 0x15ad, Device: 0x07a0, Class: 0x060400, Revision: 1}
)

// bridgeKey is a bridge of the configuration and one of its functions.
type bridgeKey struct{ index, function int }

// reserveBridges keeps the slots of the configuration's bridges from devices that take any. The bridges themselves come with the first device behind
// them: a bus that is empty would cost a guest the time to look at it.
func (b *board) reserveBridges() {
	if !b.pc() {
		return
	}
	for _, c := range b.m.cfg.Bridges {
		if _, _, behind := c.Slot.Bridge(); c.Slot != config.NoSlot && !behind {
			b.slots[c.Slot.Device()] = true
		}
	}
}

// plugBehind puts a function into the slot behind a bridge that the configuration wants, and says whether it could: the configuration may
// lack the bridge, or the slot be taken.
func (b *board) plugBehind(want config.PCISlot, f *pci.Function) bool {
	index, function, behind := want.Bridge()
	if !behind || want == config.NoSlot || !b.pc() {
		return false
	}
	bridge, err := b.bridge(bridgeKey{index, function})
	if err == nil {
		err = b.root.PlugBehind(bridge, pci.Address{Device: uint8(want.Device())}, f)
	}
	if err != nil {
		b.m.log.Warn("a device is not in its PCI slot, but in a free one", "slot", int(want), "error", err)
	}
	return err == nil
}

// bridge returns a bridge of the configuration, which it plugs when it is first asked for.
func (b *board) bridge(k bridgeKey) (none pci.Bridge, err error) {
	if known, ok := b.bridges[k]; ok {
		return known, nil
	}
	i := slices.IndexFunc(b.m.cfg.Bridges, func(c config.PCIBridge) bool { return c.Index == k.index })
	if i < 0 {
		return none, fmt.Errorf("there is no pciBridge%d", k.index)
	}
	c := &b.m.cfg.Bridges[i]
	if _, _, behind := c.Slot.Bridge(); behind || c.Slot == config.NoSlot || c.Slot.Device() == 0 || k.function >= max(c.Functions, 1) {
		return none, fmt.Errorf("pciBridge%d has no function %d on bus 0", k.index, k.function)
	}
	if k.function != 0 { // without function 0, a guest does not look for others
		if _, err := b.bridge(bridgeKey{k.index, 0}); err != nil {
			return none, err
		}
	}
	name := fmt.Sprintf("pciBridge%d", k.index)
	made := pci.NewBridge(name, plainBridge)
	if c.RootPort {
		made = pci.NewBridge(name, rootPort)
		if err := made.AddExpress(pci.RootPort, nil); err != nil {
			return none, err
		}
		msi, err := made.AddMSI(b.vm, 1, pci.MSI64) // for the events of the port
		if err != nil {
			return none, err
		}
		b.closers = append(b.closers, closeFunc(msi.Close))
	}
	if err := b.root.Plug(pci.Address{Device: uint8(c.Slot.Device()), Function: uint8(k.function)}, made.Function); err != nil {
		return none, err
	}
	b.devices = append(b.devices, made)
	if b.bridges == nil {
		b.bridges = map[bridgeKey]pci.Bridge{}
	}
	b.bridges[k] = made
	return made, nil
}
