package nbd

// Sizes that the protocol or this server sets, in bytes.
const (
	// MaxPayload is the longest data of a read or write request; section "Size constraints" asks for no less.
	MaxPayload = 32 << 20
	// maxString bounds names and messages (section "Conventions").
	maxString = 4096
	// maxOption bounds the data of an option that is looked at; maxSkip what is read only to be thrown away.
	maxOption = 64 << 10
	maxSkip   = 1 << 20
	// maxOptions is how many options a client may send before it has to make up its mind.
	maxOptions = 1000
)

// Magic numbers (sections "Newstyle negotiation", "Fixed newstyle negotiation" and "Transmission").
const (
	magicInit            = 0x4e42444d41474943 // NBDMAGIC
	magicOption          = 0x49484156454f5054 // IHAVEOPT
	magicOptionReply     = 0x3e889045565a9
	magicRequest         = 0x25609513
	magicSimpleReply     = 0x67446698
	magicStructuredReply = 0x668e33ef
)

// Handshake flags of the server, and the client's, which have the same bits (section "Handshake flags").
const (
	handshakeFixedNewstyle = 1 << iota
	handshakeNoZeroes
)

// Transmission flags (section "Transmission flags").
const (
	flagHasFlags     = 1 << 0
	flagReadOnly     = 1 << 1
	flagFlush        = 1 << 2
	flagFUA          = 1 << 3
	flagTrim         = 1 << 5
	flagWriteZeroes  = 1 << 6
	flagDontFragment = 1 << 7
	flagMultiConn    = 1 << 8
	flagCache        = 1 << 10
	flagFastZero     = 1 << 11
)

// Options (section "Option types").
const (
	optExportName      = 1
	optAbort           = 2
	optList            = 3
	optInfo            = 6
	optGo              = 7
	optStructuredReply = 8
	optListMetaContext = 9
	optSetMetaContext  = 10
)

// Replies to options (section "Option reply types").
const (
	repAck         = 1
	repServer      = 2
	repInfo        = 3
	repMetaContext = 4

	repError      = 1 << 31
	repErrUnsup   = repError + 1
	repErrInvalid = repError + 3
	repErrUnknown = repError + 6
	repErrTooBig  = repError + 9
)

// Information of INFO and GO.
const (
	infoExport      = 0
	infoName        = 1
	infoDescription = 2
	infoBlockSize   = 3
)

// Commands (section "Request types").
const (
	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdCache       = 5
	cmdWriteZeroes = 6
	cmdBlockStatus = 7
)

// Command flags (section "Command flags").
const (
	cmdFlagFUA          = 1 << 0
	cmdFlagNoHole       = 1 << 1
	cmdFlagDontFragment = 1 << 2
	cmdFlagReqOne       = 1 << 3
	cmdFlagFastZero     = 1 << 4
)

// Structured replies (sections "Structured reply flags" and "Structured reply types").
const (
	replyFlagDone = 1 << 0

	replyNone        = 0
	replyOffsetData  = 1
	replyOffsetHole  = 2
	replyBlockStatus = 5
	replyError       = 1<<15 + 1
	replyErrorOffset = 1<<15 + 2
)

// Lengths of headers.
const (
	requestSize         = 28
	simpleReplySize     = 16
	structuredReplySize = 20
	offsetSize          = 8 // before the data of an OFFSET_DATA chunk
	holeSize            = 12
	errorOffsetSize     = 14
)

// States of base:allocation.
const (
	stateHole = 1 << 0
	stateZero = 1 << 1
)
