package net

import "github.com/sharevm/vmm/network"

// Feature bits (virtio 1.2, section 5.1.3).
const (
	featureChecksum          = 1 << 0
	featureGuestChecksum     = 1 << 1
	featureCtrlGuestOffloads = 1 << 2
	featureMTU               = 1 << 3
	featureMAC               = 1 << 5
	featureGuestTSO4         = 1 << 7
	featureGuestTSO6         = 1 << 8
	featureGuestECN          = 1 << 9
	featureGuestUFO          = 1 << 10
	featureHostTSO4          = 1 << 11
	featureHostTSO6          = 1 << 12
	featureHostECN           = 1 << 13
	featureHostUFO           = 1 << 14
	featureMergeable         = 1 << 15
	featureStatus            = 1 << 16
	featureCtrlQueue         = 1 << 17
	featureCtrlRX            = 1 << 18
	featureGuestAnnounce     = 1 << 21
	featureMultiQueue        = 1 << 22
	featureCtrlMAC           = 1 << 23
)

// guestOffloadFeatures are the features that VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET can switch.
const guestOffloadFeatures = featureGuestChecksum | featureGuestTSO4 | featureGuestTSO6 | featureGuestECN | featureGuestUFO

// offloadFeatures says which feature stands for an offload: in the guest's frames (host) and in frames for it (guest).
var offloadFeatures = [...]struct {
	offload     network.Offloads
	host, guest uint64
}{
	{network.OffloadChecksum, featureChecksum, featureGuestChecksum},
	{network.OffloadTSO4, featureHostTSO4, featureGuestTSO4},
	{network.OffloadTSO6, featureHostTSO6, featureGuestTSO6},
	{network.OffloadECN, featureHostECN, featureGuestECN},
	{network.OffloadUFO, featureHostUFO, featureGuestUFO},
}

// featuresOf returns the features that a device whose links have the given offloads may offer. What needs another
// feature is left out without it (virtio 1.2, section 5.1.3.1).
func featuresOf(o network.Offloads) (features uint64) {
	if o&network.OffloadChecksum == 0 {
		return 0
	}
	if o&(network.OffloadTSO4|network.OffloadTSO6) == 0 {
		o &^= network.OffloadECN
	}
	for _, f := range offloadFeatures {
		if o&f.offload != 0 {
			features |= f.host | f.guest
		}
	}
	return features
}

// guestOffloads returns what a driver with the given features copes with in frames for it. A driver that negotiates nonsense, such as
// segmentation without checksums, gets less.
func guestOffloads(features uint64) (o network.Offloads) {
	if features&featureGuestChecksum == 0 {
		return 0
	}
	for _, f := range offloadFeatures {
		if features&f.guest != 0 {
			o |= f.offload
		}
	}
	if o&(network.OffloadTSO4|network.OffloadTSO6) == 0 {
		o &^= network.OffloadECN
	}
	return o
}
