package ata

// Commands (ATA8-ACS, table 135; those that it calls obsolete from ATA/ATAPI-4 to -7).
const (
	opNop                  = 0x00
	opDataSetManagement    = 0x06
	opDeviceReset          = 0x08
	opRecalibrate          = 0x10
	opRead                 = 0x20
	opReadNoRetry          = 0x21
	opReadExt              = 0x24
	opReadDMAExt           = 0x25
	opReadMultipleExt      = 0x29
	opReadLogExt           = 0x2f
	opWrite                = 0x30
	opWriteNoRetry         = 0x31
	opWriteExt             = 0x34
	opWriteDMAExt          = 0x35
	opWriteMultipleExt     = 0x39
	opWriteDMAFUAExt       = 0x3d
	opVerify               = 0x40
	opVerifyNoRetry        = 0x41
	opVerifyExt            = 0x42
	opReadQueued           = 0x60
	opWriteQueued          = 0x61
	opSeek                 = 0x70
	opDiagnostic           = 0x90
	opInitializeParameters = 0x91
	opPacket               = 0xa0
	opIdentifyPacket       = 0xa1
	opSMART                = 0xb0
	opReadMultiple         = 0xc4
	opWriteMultiple        = 0xc5
	opSetMultiple          = 0xc6
	opReadDMA              = 0xc8
	opReadDMANoRetry       = 0xc9
	opWriteDMA             = 0xca
	opWriteDMANoRetry      = 0xcb
	opWriteMultipleFUAExt  = 0xce
	opStandbyNow           = 0xe0
	opIdleNow              = 0xe1
	opStandby              = 0xe2
	opIdle                 = 0xe3
	opCheckPower           = 0xe5
	opSleep                = 0xe6
	opFlush                = 0xe7
	opFlushExt             = 0xea
	opIdentify             = 0xec
	opSetFeatures          = 0xef
)

// operation is what a command does.
type operation struct {
	protocol Protocol
	// decode checks the registers; what it returns other than zero goes to the error register.
	decode func(d *Disk, c *Command) uint8
	run    func(d *Disk, c *Command, data [][]byte)
	// Of commands that address the medium:
	extended bool // 48-bit registers
	multiple bool
	durable  bool
}

var operations = [256]operation{
	opDataSetManagement: {protocol: DMAOut, decode: (*Disk).decodeTrim, run: (*Disk).trim},

	opRead:            {protocol: PIOIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opReadNoRetry:     {protocol: PIOIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opReadExt:         {protocol: PIOIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true},
	opReadMultiple:    {protocol: PIOIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer, multiple: true},
	opReadMultipleExt: {protocol: PIOIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true, multiple: true},
	opReadDMA:         {protocol: DMAIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opReadDMANoRetry:  {protocol: DMAIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opReadDMAExt:      {protocol: DMAIn, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true},
	opReadQueued:      {protocol: QueuedIn, decode: (*Disk).decodeQueued, run: (*Disk).transfer, extended: true},

	opWrite:               {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opWriteNoRetry:        {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opWriteExt:            {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true},
	opWriteMultiple:       {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, multiple: true},
	opWriteMultipleExt:    {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true, multiple: true},
	opWriteMultipleFUAExt: {protocol: PIOOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true, multiple: true, durable: true},
	opWriteDMA:            {protocol: DMAOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opWriteDMANoRetry:     {protocol: DMAOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer},
	opWriteDMAExt:         {protocol: DMAOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true},
	opWriteDMAFUAExt:      {protocol: DMAOut, decode: (*Disk).decodeMedium, run: (*Disk).transfer, extended: true, durable: true},
	opWriteQueued:         {protocol: QueuedOut, decode: (*Disk).decodeQueued, run: (*Disk).transfer, extended: true},

	opVerify:        {decode: (*Disk).decodeMedium, run: (*Disk).verify},
	opVerifyNoRetry: {decode: (*Disk).decodeMedium, run: (*Disk).verify},
	opVerifyExt:     {decode: (*Disk).decodeMedium, run: (*Disk).verify, extended: true},
	opSeek:          {decode: (*Disk).decodeMedium, run: (*Disk).nothing},
	opRecalibrate:   {run: (*Disk).nothing},

	opFlush:    {run: (*Disk).flush},
	opFlushExt: {run: (*Disk).flush},

	opDiagnostic:           {run: (*Disk).diagnose},
	opInitializeParameters: {run: (*Disk).initializeParameters},
	opSetMultiple:          {run: (*Disk).setMultiple},
	opSetFeatures:          {run: (*Disk).setFeatures},
	opIdentify:             {protocol: PIOIn, decode: (*Disk).decodePage, run: (*Disk).identify},
	opReadLogExt:           {protocol: PIOIn, decode: (*Disk).decodeLog, run: (*Disk).readLog},
	opSMART:                {decode: (*Disk).decodeSMART, run: (*Disk).smart},

	opStandbyNow: {run: (*Disk).standby}, 0x94: {run: (*Disk).standby},
	opStandby: {run: (*Disk).standby}, 0x96: {run: (*Disk).standby},
	opSleep: {run: (*Disk).standby}, 0x99: {run: (*Disk).standby},
	opIdleNow: {run: (*Disk).idle}, 0x95: {run: (*Disk).idle},
	opIdle: {run: (*Disk).idle}, 0x97: {run: (*Disk).idle},
	opCheckPower: {run: (*Disk).checkPower}, 0x98: {run: (*Disk).checkPower},
}

// Decode implements Device.
func (d *Disk) Decode(c *Command) {
	c.begin()
	op := &operations[c.Opcode]
	if op.run == nil {
		c.Fail(ErrorAbort)
		return
	}
	c.op, c.Protocol = op, op.protocol
	if op.decode != nil {
		if bits := op.decode(d, c); bits != 0 {
			c.Fail(bits)
			d.remember(c)
		}
	}
}

// Execute implements Device.
func (d *Disk) Execute(c *Command, data [][]byte) {
	if !c.finished {
		c.op.run(d, c, data)
	}
}
