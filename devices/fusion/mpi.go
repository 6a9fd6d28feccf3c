package fusion

// Registers (offsets in the system interface, mpi.h).
const (
	regDoorbell    = 0x00
	regSequence    = 0x04
	regDiagnostic  = 0x08
	regStatus      = 0x30
	regMask        = 0x34
	regRequestFIFO = 0x40
	regReplyFIFO   = 0x44
	regHighFIFO    = 0x48
)

// States of the controller, in the doorbell register.
const (
	stateReset       = 0x0
	stateReady       = 0x1
	stateOperational = 0x2
	stateFault       = 0x4
	stateShift       = 28

	doorbellActive   = 1 << 27
	doorbellWhoShift = 24
)

// Bits of the diagnostic register, and the keys that open it.
const (
	diagResetHistory = 0x20
	diagWriteEnable  = 0x80
	diagReset        = 0x04
	diagDisableARM   = 0x02
	diagWritable     = diagResetHistory | diagDisableARM | 0x10 | 0x01
)

var sequenceKeys = [...]uint8{0x4, 0xb, 0x2, 0x7, 0xd}

// Bits of the interrupt status and mask registers.
const (
	intDoorbell = 0x1
	intReply    = 0x8
)

// Functions: of messages, and from messageUnitReset on of the doorbell.
const (
	fnSCSIIO            = 0x00
	fnTaskManagement    = 0x01
	fnIOCInit           = 0x02
	fnIOCFacts          = 0x03
	fnConfig            = 0x04
	fnPortFacts         = 0x05
	fnPortEnable        = 0x06
	fnEventNotification = 0x07
	fnEventAck          = 0x08
	fnSASControl        = 0x1b
	fnMessageUnitReset  = 0x40
	fnIOUnitReset       = 0x41
	fnHandshake         = 0x42
	fnFrameRemoval      = 0x43
)

// Values of IOCStatus.
const (
	iocSuccess             = 0x0000
	iocInvalidFunction     = 0x0001
	iocInvalidSGL          = 0x0003
	iocNoResources         = 0x0006
	iocInvalidField        = 0x0007
	iocInvalidState        = 0x0008
	iocBadConfigAction     = 0x0020
	iocBadConfigType       = 0x0021
	iocBadConfigPage       = 0x0022
	iocBadConfigData       = 0x0023
	iocCantCommit          = 0x0025
	iocInvalidBus          = 0x0041
	iocInvalidTarget       = 0x0042
	iocNoDevice            = 0x0043
	iocOverrun             = 0x0044
	iocUnderrun            = 0x0045
	iocTaskTerminated      = 0x0048
	faultRequestBus        = 0x8112 // a request frame that is not in memory
	faultReplyBus          = 0x8114 // a reply frame that is not in memory
	maxDataBytes           = 64 << 20
	scsiAutosenseValid     = 0x01
	scsiAutosenseFailed    = 0x02
	scsiTerminated         = 0x08
	scsiNoStatus           = 0x04
	taskComplete           = 0x00
	taskSucceeded          = 0x08
	taskUnsupported        = 0x04
	taskBadLUN             = 0x09
	taskFailed             = 0x05
	taskAbort              = 0x01
	taskAbortSet           = 0x02
	taskTargetReset        = 0x03
	taskBusReset           = 0x04
	taskUnitReset          = 0x05
	taskClearSet           = 0x06
	taskQuery              = 0x07
	eventChange            = 0x0a
	capabilityHighPriority = 0x01
)

// Sizes that the adapter states.
const (
	frameSize    = 128 // bytes of a request frame
	credits      = 256 // requests at a time
	replyDepth   = 512 // entries of the reply FIFOs: more than there can be replies
	maxTargets   = 16
	hostTarget   = 7 // the adapter itself
	chainDepth   = 64
	maxHandshake = 256        // words of a handshake, as many as its length can say
	maxTasks     = 16         // task management requests at a time
	versionWord  = 0x01032920 // firmware 1.3.41.32, the one that VMware's adapters claim
)
