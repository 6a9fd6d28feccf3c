package scsi

// Operation codes (SPC-4, table E.2; SBC-3; MMC-6).
const (
	opTestUnitReady     = 0x00
	opRequestSense      = 0x03
	opRead6             = 0x08
	opWrite6            = 0x0a
	opInquiry           = 0x12
	opModeSelect6       = 0x15
	opReserve6          = 0x16
	opRelease6          = 0x17
	opModeSense6        = 0x1a
	opStartStop         = 0x1b
	opSendDiagnostic    = 0x1d
	opPreventRemoval    = 0x1e
	opReadCapacity10    = 0x25
	opRead10            = 0x28
	opWrite10           = 0x2a
	opSeek10            = 0x2b
	opWriteVerify10     = 0x2e
	opVerify10          = 0x2f
	opPrefetch10        = 0x34
	opSyncCache10       = 0x35
	opWriteSame10       = 0x41
	opUnmap             = 0x42
	opReadTOC           = 0x43
	opGetConfiguration  = 0x46
	opGetEventStatus    = 0x4a
	opLogSense          = 0x4d
	opReadDiscInfo      = 0x51
	opReadTrackInfo     = 0x52
	opModeSelect10      = 0x55
	opReserve10         = 0x56
	opRelease10         = 0x57
	opModeSense10       = 0x5a
	opRead16            = 0x88
	opWrite16           = 0x8a
	opWriteVerify16     = 0x8e
	opVerify16          = 0x8f
	opPrefetch16        = 0x90
	opSyncCache16       = 0x91
	opWriteSame16       = 0x93
	opServiceIn16       = 0x9e
	opReportLUNs        = 0xa0
	opRead12            = 0xa8
	opWrite12           = 0xaa
	opReadDVDStructure  = 0xad
	opWriteVerify12     = 0xae
	opVerify12          = 0xaf
	opReadCDMSF         = 0xb9
	opSetCDSpeed        = 0xbb
	opMechanismStatus   = 0xbd
	opReadCD            = 0xbe
	serviceReadCapacity = 0x10 // service action of opServiceIn16
)
