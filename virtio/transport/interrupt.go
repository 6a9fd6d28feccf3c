package transport

// noVector says that no MSI-X vector is to be used (VIRTIO_MSI_NO_VECTOR).
const noVector = 0xffff

// Bits of the ISR status (virtio 1.2, section 4.1.4.5).
const (
	isrQueue  = 1
	isrConfig = 2
)

// vector returns the vector that results from writing v to a vector register: one that does not exist reads back as none.
func (t *Transport) vector(v uint64) uint32 {
	if t.msix == nil || v >= uint64(t.msix.Vectors()) {
		return noVector
	}
	return uint32(v)
}

// interrupt tells the driver by MSI-X where that is enabled, and by the pin otherwise. It takes no lock that is held around
// calls of the device.
func (t *Transport) interrupt(vector uint32, cause uint8) {
	if t.msix != nil && t.msix.Enabled() {
		t.msix.Fire(int(vector)) // noVector is beyond any table
		return
	}
	t.isrMu.Lock()
	defer t.isrMu.Unlock()
	t.isr |= cause
	t.fn.SetINTx(true)
}

// takeISR reads the ISR status, which clears it and releases the pin.
func (t *Transport) takeISR() uint8 {
	t.isrMu.Lock()
	defer t.isrMu.Unlock()
	v := t.isr
	t.isr = 0
	t.fn.SetINTx(false)
	return v
}
