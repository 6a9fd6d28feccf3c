package e1000

// Registers (82574 datasheet, section 10.2; 317453, section 13.4): offsets in bytes.
const (
	regCTRL    = 0x0000
	regSTATUS  = 0x0008
	regEECD    = 0x0010
	regEERD    = 0x0014
	regCTRLEXT = 0x0018
	regMDIC    = 0x0020
	regFCAL    = 0x0028
	regFCAH    = 0x002c
	regFCT     = 0x0030
	regVET     = 0x0038
	regICR     = 0x00c0
	regITR     = 0x00c4
	regICS     = 0x00c8
	regIMS     = 0x00d0
	regIMC     = 0x00d8
	regEIAC    = 0x00dc // 82574
	regIAM     = 0x00e0 // 82574
	regIVAR    = 0x00e4 // 82574
	regEITR    = 0x00e8 // 82574, five of them
	regRCTL    = 0x0100
	regTCTL    = 0x0400
	regEXTCNF  = 0x0f00
	regPBA     = 0x1000
	regEEMNG   = 0x1010
	regPSRCTL  = 0x2170
	regRX      = 0x2800 // a receive queue's registers; the second queue's follow at queueStride
	regTX      = 0x3800 // a transmit queue's
	regStats   = 0x4000
	regRXCSUM  = 0x5000
	regRFCTL   = 0x5008
	regMTA     = 0x5200
	regRA      = 0x5400
	regVFTA    = 0x5600
	regMRQC    = 0x5818
	regSWSM    = 0x5b50
	regFWSM    = 0x5b54
	regRETA    = 0x5c00
	regRSSRK   = 0x5c80
	regSYSTIML = 0xb600
	regSYSTIMH = 0xb604
	regTIMINCA = 0xb608

	queueStride = 0x100
	statsEnd    = 0x4128 // what is in between clears when it is read
	memorySize  = 128 << 10
	registers   = 0xc000 // bytes of the memory that hold registers

	// Offsets in a queue's registers.
	qBaseLow  = 0x00
	qBaseHigh = 0x04
	qLength   = 0x08
	qHead     = 0x10
	qTail     = 0x18
)

// Statistics.
const (
	statMPC   = 0x4010 // missed
	statBPRC  = 0x4078 // broadcast, received
	statMPRC  = 0x407c
	statGPRC  = 0x4074 // good packets received
	statGPTC  = 0x4080
	statGORCL = 0x4088 // good octets received, 64 bits
	statGOTCL = 0x4090
	statTORL  = 0x40c0
	statTOTL  = 0x40c8
	statTPR   = 0x40d0
	statTPT   = 0x40d4
	statTSCTC = 0x40f8 // segmentation contexts
)

// Bits of registers.
const (
	ctrlFullDuplex = 1 << 0
	ctrlNoMaster   = 1 << 2 // 82574
	ctrlLinkReset  = 1 << 3
	ctrlLinkUp     = 1 << 6
	ctrlSpeed1000  = 2 << 8
	ctrlReset      = 1 << 26
	ctrlVLAN       = 1 << 30
	ctrlPHYReset   = 1 << 31

	statusFullDuplex = 1 << 0
	statusLinkUp     = 1 << 1
	statusSpeed1000  = 2 << 6
	statusInitDone   = 1 << 9  // 82574
	statusMaster     = 1 << 19 // 82574

	extEIAME = 1 << 24
	extIAME  = 1 << 27

	rctlEnable     = 1 << 1
	rctlUnicastAll = 1 << 3
	rctlMultiAll   = 1 << 4
	rctlLong       = 1 << 5
	rctlSplit      = 1 << 10
	rctlBroadcast  = 1 << 15
	rctlVLANFilter = 1 << 18
	rctlSizeExt    = 1 << 25
	rctlStripCRC   = 1 << 26

	tctlEnable = 1 << 1
	tctlPad    = 1 << 3

	rxcsumIP        = 1 << 8
	rxcsumTransport = 1 << 9
	rxcsumNoPacket  = 1 << 13 // the RSS hash takes the packet checksum's place
	rfctlExtended   = 1 << 15

	rahValid = 1 << 31

	semaphoreSMBI = 1 << 0

	extcnfSoftware = 1 << 5
	eemngDone      = 1 << 18
)

// Causes of interrupts, in ICR, ICS, IMS, IMC, EIAC and IAM.
const (
	icrTXDW     = 1 << 0
	icrTXQE     = 1 << 1
	icrLSC      = 1 << 2
	icrRXDMT0   = 1 << 4
	icrRXO      = 1 << 6
	icrRXT0     = 1 << 7
	icrMDAC     = 1 << 9
	icrRXQ0     = 1 << 20 // 82574, and RXQ1, TXQ0, TXQ1 behind
	icrTXQ0     = 1 << 22
	icrOther    = 1 << 24
	icrAsserted = 1 << 31

	icrOfOther = icrLSC | icrRXO | icrMDAC | 7<<16 // SRPD, ACK, MNG
)
