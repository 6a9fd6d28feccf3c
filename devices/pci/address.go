package pci

import "fmt"

// Address says where a function sits.
type Address struct {
	Bus      uint8
	Device   uint8 // 0..31
	Function uint8 // 0..7
}

// String returns the usual form, such as 00:1f.3.
func (a Address) String() string {
	return fmt.Sprintf("%02x:%02x.%x", a.Bus, a.Device, a.Function)
}

// slot is the position on the bus: device and function in one number.
func (a Address) slot() int { return int(a.Device)<<3 | int(a.Function) }
