package input

import (
	"encoding/binary"

	"github.com/sharevm/vmm/display/input"
)

// What the driver selects in the configuration (section 5.8.4).
const (
	selectName    = 0x01
	selectDevIDs  = 0x03
	selectEvents  = 0x11 // what codes of type subsel there are
	selectAbsInfo = 0x12 // of axis subsel
)

// struct virtio_input_config.
const (
	configSelect = 0
	configSubsel = 1
	configLength = 2
	configData   = 8
	configSize   = configData + 128
)

// Types of events that only guest and driver speak of (Linux, EV_*).
const (
	typeSync   = 0
	typeLED    = 0x11
	typeRepeat = 0x14
)

// lights is how many LEDs a keyboard has: Num, Caps and Scroll Lock are codes 0 to 2.
const lights = 3

// busVirtual is Linux's BUS_VIRTUAL. The vendor is that of virtio's PCI devices.
const (
	busVirtual = 0x06
	vendor     = 0x1af4
)

var names = [...]string{input.Keyboard: "vmm keyboard", input.Mouse: "vmm mouse", input.Tablet: "vmm tablet"}

// describe appends what a class of devices says of itself; nothing where it has nothing to say.
func describe(class input.Class, selected, subsel uint8, p []byte) []byte {
	switch selected {
	case selectName:
		return append(p, names[class]...)
	case selectDevIDs:
		for _, v := range []uint16{busVirtual, vendor, uint16(class) + 1, 1} {
			p = binary.LittleEndian.AppendUint16(p, v)
		}
	case selectEvents:
		return appendBits(p, codesOf(class, subsel))
	case selectAbsInfo:
		if class == input.Tablet && subsel <= uint8(input.AbsY) {
			for _, v := range []uint32{0, input.AbsMax, 0, 0, 0} { // least, most, fuzz, flat, resolution
				p = binary.LittleEndian.AppendUint32(p, v)
			}
		}
	}
	return p
}

// codesOf lists the codes of a type that a class of devices sends, or takes in the case of LEDs.
func codesOf(class input.Class, kind uint8) []input.Code {
	if class == input.Keyboard {
		switch kind {
		case uint8(input.TypeKey):
			return input.Keys()
		case typeLED:
			return []input.Code{0, 1, lights - 1}
		case typeRepeat: // the guest repeats keys itself
			return []input.Code{0, 1}
		}
		return nil
	}
	switch kind {
	case uint8(input.TypeKey):
		return input.Buttons()
	case uint8(input.TypeRel):
		if class == input.Mouse {
			return []input.Code{input.RelX, input.RelY, input.RelHWheel, input.RelWheel}
		}
		return []input.Code{input.RelHWheel, input.RelWheel}
	case uint8(input.TypeAbs):
		if class == input.Tablet {
			return []input.Code{input.AbsX, input.AbsY}
		}
	}
	return nil
}

// appendBits appends a bitmap in which the bits of codes, in ascending order, are set.
func appendBits(p []byte, codes []input.Code) []byte {
	if len(codes) == 0 {
		return p
	}
	from := len(p)
	p = append(p, make([]byte, codes[len(codes)-1]/8+1)...)
	for _, c := range codes {
		p[from+int(c/8)] |= 1 << (c % 8)
	}
	return p
}
