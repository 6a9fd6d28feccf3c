package display

import "encoding/binary"

// EDIDSize is the length of an EDID without extensions, in bytes.
const EDIDSize = 128

// EDID returns what a monitor says of itself (VESA E-EDID release A2, EDID 1.4, section 3) that likes a picture of width by height pixels best, at 60 frames a second.
// Either is cut to what a detailed timing can say, 64 to 4095.
func EDID(width, height int) (e [EDIDSize]byte) {
	width, height = min(max(width, 64), 4095), min(max(height, 64), 4095)
	be, le := binary.BigEndian, binary.LittleEndian
	copy(e[:], []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0})
	be.PutUint16(e[8:], 'V'-'@'<<0|('M'-'@')<<5|('V'-'@')<<10) // manufacturer "VMV"
	le.PutUint16(e[10:], 1)                                    // product
	e[16], e[17] = 0xff, 36                                    // model year 2026
	e[18], e[19] = 1, 4                                        // EDID 1.4
	e[20] = 0xa5                                               // digital, 8 bits a colour, DisplayPort
	e[21], e[22] = byte(min(centimetres(width), 255)), byte(min(centimetres(height), 255))
	e[23] = 120                                                                      // gamma 2.2
	e[24] = 0x06                                                                     // sRGB, and the first timing is the native one
	copy(e[25:], []byte{0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54}) // sRGB's primaries
	e[35], e[36] = 0x21, 0x08                                                        // 640x480, 800x600 and 1024x768 at 60
	for i := range 8 {
		std := [2]byte{1, 1}
		if i < len(standardTimings) {
			std = standardTimings[i]
		}
		e[38+2*i], e[39+2*i] = std[0], std[1]
	}
	detailedTiming(e[54:72], width, height)
	copy(e[72:], []byte{0, 0, 0, 0xfd, 0, 50, 125, 1, 160, 255, 1}) // limits: 50-125 Hz, 1-160 kHz, 2550 MHz; no formula
	copy(e[83:], "\n      ")
	copy(e[90:], "\x00\x00\x00\xfc\x00vmm\n         ")
	copy(e[108:], []byte{0, 0, 0, 0x10}) // unused
	var sum byte
	for _, v := range e[:127] {
		sum += v
	}
	e[127] = -sum
	return e
}

// standardTimings are sizes at 60 Hz as (width/8 - 31, shape): 1280x1024, 1280x800, 1440x900, 1600x1200, 1680x1050, 1920x1080, 1280x720.
var standardTimings = [][2]byte{{129, 0x80}, {129, 0x00}, {149, 0x00}, {169, 0x40}, {179, 0x00}, {209, 0xc0}, {129, 0xc0}}

// centimetres is the size of so many pixels at 96 a inch.
func centimetres(pixels int) int { return (pixels*254 + 4800) / 9600 }

// detailedTiming fills the 18 bytes of a detailed timing at 60 Hz with blanking as CVT's version for flat screens has it.
func detailedTiming(d []byte, width, height int) {
	const hBlank, hFront, hSync, vFront, vSync = 160, 48, 32, 3, 6
	vBlank := max(vFront+vSync+6, height*3/100)
	clock := min((width+hBlank)*(height+vBlank)*60/10000, 0xffff) // in 10 kHz
	binary.LittleEndian.PutUint16(d, uint16(clock))
	d[2], d[3], d[4] = byte(width), byte(hBlank), byte(width>>8<<4|hBlank>>8)
	d[5], d[6], d[7] = byte(height), byte(vBlank), byte(height>>8<<4|vBlank>>8)
	d[8], d[9], d[10] = hFront, hSync, vFront<<4|vSync
	mm := [2]int{centimetres(width) * 10, centimetres(height) * 10}
	d[12], d[13], d[14] = byte(mm[0]), byte(mm[1]), byte(mm[0]>>8<<4|mm[1]>>8)
	d[17] = 0x1a // separate digital sync, horizontal positive
}
