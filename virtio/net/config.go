package net

import "encoding/binary"

// Layout of struct virtio_net_config (virtio 1.2, section 5.1.4): offsets in bytes.
const (
	configMAC    = 0
	configStatus = 6
	configPairs  = 8
	configMTU    = 10
	configSize   = 12
)

// Bits of the status field.
const (
	statusLinkUp   = 1
	statusAnnounce = 2
)

// Features are the feature bits that the device offers beside those of its transport.
func (d *Device) Features() uint64 {
	f := featuresOf(d.offloads) | featureMAC | featureMergeable | featureStatus |
		featureCtrlQueue | featureCtrlRX | featureCtrlMAC | featureGuestAnnounce
	if f&guestOffloadFeatures != 0 {
		f |= featureCtrlGuestOffloads
	}
	if d.mtu != 0 {
		f |= featureMTU
	}
	if len(d.pairs) > 1 {
		f |= featureMultiQueue
	}
	return f
}

// ConfigSize is the length of the configuration space in bytes.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig fills p from off.
func (d *Device) ReadConfig(off uint32, p []byte) {
	var c [configSize]byte
	d.mu.Lock()
	copy(c[configMAC:], d.mac[:])
	if d.carrier.Load() {
		c[configStatus] |= statusLinkUp
	}
	if d.announce {
		c[configStatus] |= statusAnnounce
	}
	d.mu.Unlock()
	binary.LittleEndian.PutUint16(c[configPairs:], uint16(len(d.pairs)))
	binary.LittleEndian.PutUint16(c[configMTU:], uint16(d.mtu))
	copy(p, c[off:])
}

// WriteConfig ignores the write: a driver changes nothing here (section 5.1.4).
func (d *Device) WriteConfig(uint32, []byte) {}

// SetLink plugs the cable in or pulls it out. While it is out, frames are dropped both ways.
func (d *Device) SetLink(up bool) {
	d.updateCarrier(func() { d.plugged = up })
}

// LinkUp says whether frames flow: the cable is plugged in and its links work.
func (d *Device) LinkUp() bool { return d.carrier.Load() }

// Announce asks the driver to make itself known to its network again, for when the guest has moved or woken from a snapshot.
// It does nothing when the driver cannot.
func (d *Device) Announce() {
	a := d.active.Load()
	if a == nil || !a.Has(featureGuestAnnounce) {
		return
	}
	d.mu.Lock()
	d.announce = true
	d.mu.Unlock()
	a.ConfigChanged()
}

// linkFailed takes the carrier down for good, as a link reported err.
func (d *Device) linkFailed(err error) {
	first := false
	d.updateCarrier(func() { first, d.failed = !d.failed, true })
	if first {
		d.log.Error("network link failed; the guest sees its cable unplugged", "error", err)
	}
}

// updateCarrier makes a change under d.mu that may bear on the link status, and tells the driver when it does.
func (d *Device) updateCarrier(change func()) {
	d.mu.Lock()
	change()
	up := d.plugged && !d.failed
	changed := d.carrier.Swap(up) != up
	d.mu.Unlock()
	if a := d.active.Load(); changed && a != nil {
		a.ConfigChanged()
	}
}
