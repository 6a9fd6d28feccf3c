package virtio

// Device types (virtio 1.2, section 5).
const (
	TypeNet     = 1
	TypeBlock   = 2
	TypeConsole = 3
	TypeEntropy = 4
	TypeBalloon = 5
	TypeSCSI    = 8
	TypeGPU     = 16
	TypeInput   = 18
	TypeVsock   = 19
	TypeFS      = 26
)

// Features of rings and transports (virtio 1.2, section 6). Devices see which of them were negotiated and offer none of them.
const (
	FeatureIndirectDesc = 1 << 28 // VIRTIO_F_INDIRECT_DESC
	FeatureEventIdx     = 1 << 29 // VIRTIO_F_EVENT_IDX
	FeatureVersion1     = 1 << 32 // VIRTIO_F_VERSION_1
	FeatureRingReset    = 1 << 40 // VIRTIO_F_RING_RESET
)

// ReservedFeatures are the bits that belong to rings and transports (24 to 49).
const ReservedFeatures uint64 = 1<<50 - 1<<24

// Device status bits (virtio 1.2, section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)
