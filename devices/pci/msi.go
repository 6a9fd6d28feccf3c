package pci

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/sharevm/vmm/vmm/irq"
)

// MSI (PCI 3.0, section 6.8.1): offsets in the capability without and with the upper half of the address, and bits of message control.
const (
	msiControl     = 2
	msiAddress     = 4
	msiMaxVectors  = 32
	msiEnable      = 1 << 0
	msiCapable     = 1 // shift of the logarithm of the vectors that the function has
	msiGranted     = 4 // shift of that of the vectors that the guest grants
	msiWide        = 1 << 7
	msiMaskable    = 1 << 8
	msiGrantedBits = 7 << msiGranted
)

// MSIFeatures are the optional parts of MSI.
type MSIFeatures uint8

// The parts.
const (
	MSI64       MSIFeatures = 1 << iota // an address of 64 bits
	MSIMaskable                         // each vector can be masked
)

// MSI is a function's message-signalled interrupts, all at one address, programmed in configuration space. The function's device calls Fire.
type MSI struct {
	src     messageSource
	cap     int // offset of the capability
	data    int // offset of the message data in configuration space
	mask    int // offset of the mask bits, or 0; the pending bits follow
	most    int // logarithm of the number of vectors
	enabled atomic.Bool
	granted atomic.Int32 // how many vectors the guest has granted
}

// AddMSI gives the function vectors (1, 2, 4, 8, 16 or 32) interrupts. They are taken from alloc when the guest first uses them.
func (f *Function) AddMSI(alloc irq.MSIAllocator, vectors int, features MSIFeatures) (*MSI, error) {
	if vectors < 1 || vectors > msiMaxVectors || vectors&(vectors-1) != 0 {
		return nil, fmt.Errorf("pci: %s: MSI with %d vectors", f.name, vectors)
	}
	m := &MSI{most: bits.Len(uint(vectors)) - 1, src: messageSource{kind: "MSI", alloc: alloc, log: f.log, vectors: make([]vector, vectors)}}
	m.granted.Store(1)
	control := uint16(m.most << msiCapable)
	data, mask := 8, 12
	if features&MSI64 != 0 {
		control |= msiWide
		data, mask = 12, 16
	}
	size := data + 4 // the upper half of its last register is reserved
	if features&MSIMaskable != 0 {
		control |= msiMaskable
		size = mask + 8
	}
	body, writable := make([]byte, size), make([]byte, size) // from the capability's start
	le := binary.LittleEndian
	le.PutUint16(body[msiControl:], control)
	le.PutUint16(writable[msiControl:], msiEnable|msiGrantedBits)
	le.PutUint32(writable[msiAddress:], ^uint32(3))
	if features&MSI64 != 0 {
		le.PutUint32(writable[msiAddress+4:], ^uint32(0))
	}
	le.PutUint16(writable[data:], 0xffff)
	if features&MSIMaskable != 0 {
		le.PutUint32(writable[mask:], uint32(1<<vectors-1))
	}
	at, err := f.AddCapability(CapMSI, body[2:], writable[2:])
	if err != nil {
		return nil, err
	}
	m.cap, m.data = at, at+data
	if features&MSIMaskable != 0 {
		m.mask = at + mask
	}
	f.msi = m
	return m, nil
}

// Enabled says whether the guest has chosen MSI; a function does not use its pin then.
func (m *MSI) Enabled() bool { return m.enabled.Load() }

// Granted is how many vectors the guest has granted, 1 to what AddMSI was given.
func (m *MSI) Granted() int { return int(m.granted.Load()) }

// Fire sends vector v, or marks it pending while it is masked. A vector beyond those that the guest has granted folds onto one of them.
// With MSI disabled it does nothing. It may be called from any goroutine and does not allocate.
func (m *MSI) Fire(v int) {
	if v >= 0 {
		m.src.fire(v & (m.Granted() - 1))
	}
}

// Close gives all vectors back. The guest runs no more.
func (m *MSI) Close() {
	m.enabled.Store(false)
	for i := range m.src.vectors {
		m.src.refresh(i, false, false, irq.Message{})
	}
	m.src.close()
}

// end is the offset of the first byte behind the capability.
func (m *MSI) end() int {
	if m.mask != 0 {
		return m.mask + 8
	}
	return m.data + 4
}

// follow makes the vectors follow the registers. The root's lock is held.
func (m *MSI) follow(cfg []byte) {
	le := binary.LittleEndian
	control := le.Uint16(cfg[m.cap+msiControl:])
	granted := 1 << min(int(control&msiGrantedBits>>msiGranted), m.most)
	message := irq.Message{Address: uint64(le.Uint32(cfg[m.cap+msiAddress:])), Data: uint32(le.Uint16(cfg[m.data:]))}
	if control&msiWide != 0 {
		message.Address |= uint64(le.Uint32(cfg[m.cap+msiAddress+4:])) << 32
	}
	var masked uint32
	if m.mask != 0 {
		masked = le.Uint32(cfg[m.mask:])
	}
	enabled := control&msiEnable != 0
	m.granted.Store(int32(granted))
	m.enabled.Store(enabled)
	for i := range m.src.vectors {
		own := message
		own.Data = own.Data&^uint32(granted-1) | uint32(i)
		m.src.refresh(i, enabled && i < granted, masked>>i&1 == 0, own)
	}
}

// readPending puts the pending bits into a read of configuration space at off.
func (m *MSI) readPending(off int, p []byte) {
	if m.mask == 0 || off >= m.mask+8 || off+len(p) <= m.mask+4 {
		return
	}
	var b [4]byte
	m.src.pending(0, b[:])
	for i := range b {
		if at := m.mask + 4 + i - off; at >= 0 && at < len(p) {
			p[at] = b[i]
		}
	}
}
