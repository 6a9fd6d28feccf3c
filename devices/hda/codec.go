package hda

const (
	codecAddress  = 0
	codecIdentity = 0x15ad_1975

	nodeRoot  = 0
	nodeGroup = 1
	nodeDAC   = 2
	nodePin   = 3
	nodes     = 4

	// pinConfig is a green line-out jack of 3.5 mm at the back that can't tell whether something is plugged in (section 7.3.3.31).
	pinConfig = 0x0101_4110

	gainSteps   = 0x4a // of 1 dB; the last one is 0 dB
	gainBits    = 0x7f
	gainMute    = 1 << 7
	ampCaps     = 1<<31 | 3<<16 | gainSteps<<8 | gainSteps
	pcmRates    = 0x5f0 // 32, 44.1, 48, 88.2, 96 and 192 kHz
	pcmBits     = 1<<17 | 1<<19 | 1<<20
	formatsPCM  = 1
	powerD0D3   = 1<<0 | 1<<3
	powerD3     = 3
	pinOutput   = 1 << 6 // of the pin's control
	pinOutCap   = 1 << 4
	capsDAC     = 0<<20 | 1<<10 | 1<<4 | 1<<3 | 1<<2 | 1 // power, format, amplifier of its own, stereo
	capsPin     = 4<<20 | 1<<10 | 1<<8 | 1               // power, a list of connections, stereo
	initialFmt  = 0x0011                                 // 48 kHz, 16 bits, stereo
	ampSetOut   = 1 << 15
	ampSetLeft  = 1 << 13
	ampSetRight = 1 << 12
	ampSetIndex = 0xf00
)

// Parameters (section 7.3.4).
const (
	parVendor    = 0x00
	parRevision  = 0x02
	parNodes     = 0x04
	parGroup     = 0x05
	parCaps      = 0x09
	parRates     = 0x0a
	parFormats   = 0x0b
	parPin       = 0x0c
	parList      = 0x0e
	parPower     = 0x0f
	parAmpOut    = 0x12
	parameters   = 0x13
	nodesOfRoot  = nodeGroup<<16 | 1
	nodesOfGroup = nodeDAC<<16 | 2
)

// graph is what does not change about the nodes.
var graph = [nodes][parameters]uint32{
	nodeRoot:  {parVendor: codecIdentity, parRevision: 0x0010_0100, parNodes: nodesOfRoot},
	nodeGroup: {parNodes: nodesOfGroup, parGroup: 1, parRates: pcmRates | pcmBits, parFormats: formatsPCM, parPower: powerD0D3},
	nodeDAC:   {parCaps: capsDAC, parRates: pcmRates | pcmBits, parFormats: formatsPCM, parAmpOut: ampCaps, parPower: powerD0D3},
	nodePin:   {parCaps: capsPin, parPin: pinOutCap, parList: 1, parPower: powerD0D3},
}

// codec is what changes about the codec.
type codec struct {
	format     uint16
	tag        uint8    // stream in the upper half, channel in the lower
	amp        [2]uint8 // left and right: mute and gain
	power      [nodes]uint8
	pinControl uint8
	// What firmware writes and systems read; a reset of the function leaves them.
	config, subsystem uint32
}

// reset is that of the function group (section 7.3.3.33).
func (c *codec) reset() {
	*c = codec{format: initialFmt, amp: [2]uint8{gainSteps, gainSteps}, config: c.config, subsystem: c.subsystem}
}

// command carries a command out. Without a codec at its address there is no answer.
func (c *codec) command(v uint32) (answer uint32, ok bool) {
	if v>>28 != codecAddress {
		return 0, false
	}
	node := int(v >> 20 & 0xff)
	if node >= nodes { // also nodes of indirect addresses
		return 0, true
	}
	if four := v >> 16 & 0xf; four != 0x7 && four != 0xf {
		return c.long(node, four, uint16(v)), true
	}
	return c.short(node, v>>8&0xfff, uint8(v)), true
}

// long carries out a verb with a payload of 16 bits.
func (c *codec) long(node int, verb uint32, payload uint16) uint32 {
	if node != nodeDAC {
		return 0
	}
	switch verb {
	case 0x2:
		c.format = payload
	case 0xa:
		return uint32(c.format)
	case 0x3:
		if payload&ampSetOut == 0 || payload&ampSetIndex != 0 {
			break
		}
		v := uint8(payload&gainMute) | min(uint8(payload&gainBits), gainSteps)
		if payload&ampSetLeft != 0 {
			c.amp[0] = v
		}
		if payload&ampSetRight != 0 {
			c.amp[1] = v
		}
	case 0xb:
		switch {
		case payload&ampSetOut == 0:
		case payload&ampSetLeft != 0:
			return uint32(c.amp[0])
		default:
			return uint32(c.amp[1])
		}
	}
	return 0
}

// short carries out a verb with a payload of 8 bits.
func (c *codec) short(node int, verb uint32, payload uint8) uint32 {
	switch verb {
	case 0xf00:
		if int(payload) < parameters {
			return graph[node][payload]
		}
		return 0
	case 0xf05:
		return uint32(c.power[node]) | uint32(c.power[node])<<4
	case 0x705:
		if state := payload & 0xf; node != nodeRoot && (state == 0 || state == powerD3) {
			c.power[node] = state
		}
		return 0
	}
	switch node {
	case nodeGroup:
		switch {
		case verb == 0x7ff:
			c.reset()
		case verb == 0xf20:
			return c.subsystem
		case verb >= 0x720 && verb < 0x724:
			c.subsystem = withByte(c.subsystem, verb-0x720, payload)
		}
	case nodeDAC:
		switch verb {
		case 0xf06:
			return uint32(c.tag)
		case 0x706:
			c.tag = payload
		}
	case nodePin:
		switch {
		case verb == 0xf02 && payload == 0:
			return nodeDAC
		case verb == 0xf07:
			return uint32(c.pinControl)
		case verb == 0x707:
			c.pinControl = payload & pinOutput
		case verb == 0xf1c:
			return c.config
		case verb >= 0x71c && verb < 0x720:
			c.config = withByte(c.config, verb-0x71c, payload)
		}
	}
	return 0
}

// withByte is v with byte n replaced.
func withByte(v uint32, n uint32, b uint8) uint32 { return v&^(0xff<<(8*n)) | uint32(b)<<(8*n) }

// hears says whether the converter plays a stream, and the jack what it plays.
func (c *codec) hears(tag uint8, format uint16) bool {
	return tag != 0 && c.tag == tag<<4 && c.format == format && c.pinControl&pinOutput != 0 &&
		c.power[nodeGroup] == 0 && c.power[nodeDAC] == 0 && c.power[nodePin] == 0
}
