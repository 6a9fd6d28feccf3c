package transport

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/pci"
)

// Types of the vendor capabilities (virtio 1.2, section 4.1.4).
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
	capPCI    = 5
)

// Offsets in struct virtio_pci_cap, from its start.
const (
	fieldType   = 3
	fieldBAR    = 4
	fieldOffset = 8
	fieldLength = 12
	fieldExtra  = 16 // notify_off_multiplier, or pci_cfg_data
)

// addCapabilities tells the driver where the structures lie. The more important come first, as drivers take the first of a kind.
func (t *Transport) addCapabilities(ports bool) error {
	bells, stride := uint32(len(t.queues))*notifyStride, []byte{notifyStride, 0, 0, 0}
	inPorts := bells
	if !ports {
		inPorts = 0
	}
	for _, c := range []struct {
		kind, bar      uint8
		offset, length uint32
		extra          []byte
	}{
		{capCommon, barIndex, commonBase, commonSize, nil},
		{capNotify, portsIndex, 0, inPorts, stride},
		{capNotify, barIndex, notifyBase, bells, stride},
		{capISR, barIndex, isrBase, 1, nil},
		{capDevice, barIndex, configBase, t.dev.ConfigSize(), nil},
	} {
		if c.length == 0 {
			continue
		}
		if _, err := t.fn.AddCapability(pci.CapVendor, vendorCap(c.kind, c.bar, c.offset, c.length, c.extra), nil); err != nil {
			return err
		}
	}
	return t.addAccessCapability()
}

// vendorCap returns a capability's body, which starts behind ID and next pointer.
func vendorCap(kind, bar uint8, offset, length uint32, extra []byte) []byte {
	b := make([]byte, fieldExtra, fieldExtra+len(extra))
	b[2] = uint8(fieldExtra + len(extra))
	b[fieldType] = kind
	b[fieldBAR] = bar
	binary.LittleEndian.PutUint32(b[fieldOffset:], offset)
	binary.LittleEndian.PutUint32(b[fieldLength:], length)
	return append(b, extra...)[2:]
}

// addAccessCapability lets firmware that has not mapped the BAR yet reach it through configuration space (section 4.1.4.9): it
// chooses BAR, offset and length, and pci_cfg_data is a window onto that.
func (t *Transport) addAccessCapability() error {
	body := vendorCap(capPCI, barIndex, 0, 0, make([]byte, 4))
	writable := make([]byte, len(body))
	writable[fieldBAR-2] = 0xff
	for i := fieldOffset - 2; i < len(writable); i++ {
		writable[i] = 0xff
	}
	at, err := t.fn.AddCapability(pci.CapVendor, body, writable)
	if err != nil {
		return err
	}
	target := func(cfg []byte) (off uint64, data []byte) {
		c := cfg[at:]
		offset, length := binary.LittleEndian.Uint32(c[fieldOffset:]), binary.LittleEndian.Uint32(c[fieldLength:])
		if c[fieldBAR] != barIndex || (length != 1 && length != 2 && length != 4) || offset%length != 0 || offset > barSize-length {
			return 0, nil
		}
		return uint64(offset), c[fieldExtra : fieldExtra+length]
	}
	t.fn.OnRead(at+fieldExtra, 4, func(cfg []byte) {
		if off, data := target(cfg); data != nil {
			t.Read(off, data)
		}
	})
	t.fn.OnWrite(at+fieldExtra, 4, func(cfg []byte) {
		if off, data := target(cfg); data != nil {
			t.Write(off, data)
		}
	})
	return nil
}
