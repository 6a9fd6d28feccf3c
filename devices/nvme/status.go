package nvme

// status is a completion's status field without the phase bit (section 4.6.1): code, type << 8, and Do Not Retry.
type status uint16

const doNotRetry status = 1 << 14

// Generic command status.
const (
	success                 status = 0
	invalidOpcode                  = 0x01 | doNotRetry
	invalidField                   = 0x02 | doNotRetry
	dataTransferError              = 0x04 | doNotRetry
	abortRequested                 = 0x07 | doNotRetry
	invalidNamespace               = 0x0b | doNotRetry
	commandSequence                = 0x0c | doNotRetry
	invalidPRPOffset               = 0x13 | doNotRetry
	namespaceWriteProtected        = 0x20 | doNotRetry
	lbaOutOfRange                  = 0x80 | doNotRetry
)

// Command specific status.
const (
	invalidCompletionQueue = 0x100 | doNotRetry
	invalidQueueID         = 0x101 | doNotRetry
	invalidQueueSize       = 0x102 | doNotRetry
	eventLimitExceeded     = 0x105 | doNotRetry
	invalidVector          = 0x108 | doNotRetry
	invalidLogPage         = 0x109 | doNotRetry
	invalidQueueDeletion   = 0x10c | doNotRetry
	notSaveable            = 0x10d | doNotRetry
)

// Media and data integrity errors. What failed may succeed another time.
const (
	writeFault      status = 0x280
	unrecoveredRead status = 0x281
)
