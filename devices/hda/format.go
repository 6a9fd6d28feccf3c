package hda

import "github.com/sharevm/vmm/audio"

// rateOf is the rate of a stream in frames per second (section 3.7.1): 48 or 44.1 kHz, multiplied and divided. Reserved multipliers are 1.
func rateOf(format uint16) int {
	rate := 48000
	if format>>14&1 != 0 {
		rate = 44100
	}
	if m := int(format >> 11 & 7); m < 4 {
		rate *= m + 1
	}
	return rate / (int(format>>8&7) + 1)
}

// frameOf is the size of a stream's frame in memory, in bytes: 1 to 64. Reserved sizes of samples are of 4 bytes.
func frameOf(format uint16) int {
	sample := 4
	if bits := format >> 4 & 7; bits < 2 {
		sample = int(bits) + 1
	}
	return sample * (int(format&0xf) + 1)
}

// soundOf is the format as the output knows it. Samples of 20 and 24 bits are in the upper bits of 32.
func soundOf(format uint16) audio.Format {
	channels := int(format&0xf) + 1
	return audio.Format{Rate: rateOf(format), Channels: channels, Bits: 8 * frameOf(format) / channels}
}
