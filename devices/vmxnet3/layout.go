package vmxnet3

// Registers of BAR 0, one for each interrupt or queue, 8 bytes apart.
const (
	regIMR     = 0x000
	regTXPROD  = 0x600
	regRXPROD  = 0x800
	regRXPROD2 = 0xa00
	regStride  = 8
)

// Registers of BAR 1.
const (
	regVRRS = 0x00
	regUVRS = 0x08
	regDSAL = 0x10
	regDSAH = 0x18
	regCMD  = 0x20
	regMACL = 0x28
	regMACH = 0x30
	regICR  = 0x38
	regECR  = 0x40

	barSize     = 4096
	msixBARSize = 8192
	msixPending = 4096
	versions    = 1 // of card and of UPT, a bit for each
)

// Commands.
const (
	cmdActivate      = 0xcafe0000
	cmdQuiesce       = 0xcafe0001
	cmdReset         = 0xcafe0002
	cmdRxMode        = 0xcafe0003
	cmdMACFilters    = 0xcafe0004
	cmdVLANFilters   = 0xcafe0005
	cmdRSSTable      = 0xcafe0006
	cmdModeration    = 0xcafe0007
	cmdFeature       = 0xcafe0009
	cmdQueueStatus   = 0xf00d0000
	cmdStats         = 0xf00d0001
	cmdLink          = 0xf00d0002
	cmdPermanentLow  = 0xf00d0003
	cmdPermanentHigh = 0xf00d0004
	cmdConfIntr      = 0xf00d0008

	answerFailed = 1
	linkUp       = 10000<<16 | 1 // Mb/s
)

// struct Vmxnet3_DriverShared: offsets in bytes.
const (
	sharedSize  = 720
	sharedMagic = 0xbabefee1

	offFeatures    = 24
	offQueueDesc   = 40
	offQueueLen    = 52
	offMTU         = 56
	offTxQueues    = 62
	offRxQueues    = 63
	offAutoMask    = 80
	offNumIntrs    = 81
	offEventIntr   = 82
	offIntrCtrl    = 108
	offRxMode      = 120
	offTableLen    = 124
	offTableAddr   = 128
	offVLANTable   = 136
	vlanTableSize  = 512
	offRSSLen      = 652
	offRSSAddr     = 656
	offECR         = 696
	intrDisableAll = 1

	featureRxCsum = 1 << 0
	featureRSS    = 1 << 1
	featureRxVLAN = 1 << 2

	rxUnicast   = 1 << 0
	rxMulticast = 1 << 1
	rxBroadcast = 1 << 2
	rxAllMulti  = 1 << 3
	rxPromisc   = 1 << 4

	ecrRxError = 1 << 0
	ecrTxError = 1 << 1
	ecrLink    = 1 << 2
)

// struct Vmxnet3_TxQueueDesc and Vmxnet3_RxQueueDesc.
const (
	queueDescSize = 256

	offUpdateProd = 0 // of a receive queue
	offRing       = 16
	offRing2      = 24 // of a receive queue
	offComp       = 32
	offRingSize   = 56
	offRing2Size  = 60
	offCompSize   = 64
	offIntr       = 72
	offStopped    = 80
	offError      = 84
	offStats      = 88
	statCount     = 10

	errInvalid = 0x80000007
	errBig     = 0x80000002
)

// struct UPT1_RSSConf.
const (
	rssConfSize   = 8 + 40 + 128
	offHashType   = 0
	offTableSize  = 6
	offHashKey    = 8
	offIndexTable = 48
	rssTableMax   = 128
)

// Descriptors.
const (
	descSize = 16

	txLen      = 1<<14 - 1 // third word; 0 is 16 KiB
	txGen      = 1 << 14
	txMSSShift = 18
	txHeaders  = 1<<10 - 1 // fourth word
	txMode     = 10        // shift
	txEOP      = 1 << 12
	txReport   = 1 << 13
	txInsert   = 1 << 15
	modeSum    = 2
	modeTSO    = 3

	rxLen  = 1<<14 - 1 // third word
	rxBody = 1 << 14
	rxGen  = 1 << 31

	compGen    = 1 << 31 // fourth word
	compType   = 24      // shift
	compRx     = 3
	compEOP    = 1 << 14 // first word of a receive completion
	compSOP    = 1 << 15
	compQueue  = 16
	compHash   = 26
	compNoSums = 1 << 30
	compTag    = 1 << 15 // third word
	compSumOK  = 1 << 16 // fourth word
	compUDP    = 1 << 17
	compTCP    = 1 << 18
	compIPOK   = 1 << 19
	compV6     = 1 << 20
	compV4     = 1 << 21
	compFrag   = 1 << 22
	compCRC    = 1 << 23

	maxTxQueues = 8
	maxRxQueues = 16
	maxRing     = 4096
	maxCompRing = 8192
	vectors     = 25
	maxPieces   = 64 // descriptors of a frame
)
