package pci

import "fmt"

// AddCapability appends a capability to the list (PCI 3.0, section 6.7). body follows the ID and the next pointer, and
// writable has a one for each bit of body that a guest may change; it may be shorter. The result is the offset of the
// ID in configuration space, from which OnWrite and OnRead count.
func (f *Function) AddCapability(id uint8, body, writable []byte) (offset int, err error) {
	at := f.freeCap
	size := (2 + len(body) + 3) &^ 3
	if at+size > legacySize || len(writable) > len(body) {
		return 0, fmt.Errorf("pci: %s: no place for capability %#x of %d bytes", f.name, id, len(body))
	}
	if f.lastCap == 0 {
		f.cfg[regCapabilities] = uint8(at)
		f.cfg[regStatus] |= statusCapabilities
	} else {
		f.cfg[f.lastCap+1] = uint8(at)
	}
	f.lastCap, f.freeCap = at, at+size
	f.cfg[at] = id
	copy(f.cfg[at+2:], body)
	copy(f.writable[at+2:], writable)
	return at, nil
}
