// Package irq holds the interfaces by which a device raises an interrupt, and nothing else: the KVM side lives in
// vmm, so that a device can be tested and fuzzed without a virtual machine.
package irq

// Line is a level-sensitive input of the interrupt controllers (a GSI). SetLevel may be called from any goroutine
// and does not block; setting the level that the line already has is cheap.
type Line interface {
	SetLevel(high bool)
}

// LineFunc makes a function a Line.
type LineFunc func(high bool)

// SetLevel calls f.
func (f LineFunc) SetLevel(high bool) { f(high) }

// Message is a message-signalled interrupt: the store that raises it (PCI 3.0, section 6.8).
type Message struct {
	Address uint64
	Data    uint32
}

// MSI is one message-signalled interrupt that a device can raise.
type MSI interface {
	// SetMessage chooses what Fire sends; nil disconnects it, after which Fire does nothing.
	SetMessage(m *Message) error
	// Fire raises the interrupt. It does not block or allocate and may be called from any goroutine.
	Fire()
	// Close gives the vector back.
	Close() error
}

// MSIAllocator hands out MSIs; the virtual machine is one.
type MSIAllocator interface {
	// NewMSI returns a vector that is not yet connected, or an error when the machine has no routes left.
	NewMSI() (MSI, error)
}
