package pci

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
)

// MSI-X (PCI 3.0, section 6.8.2).
const (
	msixControl    = 2       // message control in the capability
	msixEnable     = 1 << 15 // in message control
	msixMaskAll    = 1 << 14
	msixEntry      = 16 // bytes in the table
	msixMaxVectors = 2048
	entryControl   = 12 // vector control in an entry
	entryMasked    = 1  // in vector control
)

// MSIX is a function's table of message-signalled interrupts. The guest reaches it through a BAR; the function's device calls Fire.
type MSIX struct {
	src messageSource
	cap int // offset of the capability

	enabled atomic.Bool // written under mu

	mu     sync.Mutex // guards the table as the guest sees it; taken before a vector's
	table  []byte
	masked bool // all vectors
}

// AddMSIX gives the function vectors (1 to 2048) interrupts, whose table lies at table in the BAR and whose pending bits at pba,
// both multiples of 8. The BAR's device no longer sees those addresses. Vectors are taken from alloc when the guest first uses them.
func (f *Function) AddMSIX(alloc irq.MSIAllocator, vectors, barIndex int, table, pba uint64) (*MSIX, error) {
	x := &MSIX{src: messageSource{kind: "MSI-X", alloc: alloc, log: f.log}}
	if barIndex < 0 || barIndex >= len(f.bars) || f.bars[barIndex] == nil || vectors < 1 || vectors > msixMaxVectors {
		return nil, fmt.Errorf("pci: %s: MSI-X with %d vectors in BAR %d", f.name, vectors, barIndex)
	}
	b := f.bars[barIndex]
	x.table = make([]byte, vectors*msixEntry)
	x.src.vectors = make([]vector, vectors)
	o := &overlay{inner: b.dev, x: x, table: table, tableEnd: table + uint64(len(x.table)), pba: pba, pbaEnd: pba + uint64(vectors+63)/64*8}
	if table%8 != 0 || pba%8 != 0 || o.tableEnd > b.size || o.pbaEnd > b.size || (table < o.pbaEnd && pba < o.tableEnd) {
		return nil, fmt.Errorf("pci: %s: MSI-X table at %#x and pending bits at %#x don't fit BAR %d", f.name, table, pba, barIndex)
	}
	var body [10]byte
	le := binary.LittleEndian
	le.PutUint16(body[0:], uint16(vectors-1))
	le.PutUint32(body[2:], uint32(table)|uint32(barIndex))
	le.PutUint32(body[6:], uint32(pba)|uint32(barIndex))
	at, err := f.AddCapability(CapMSIX, body[:], []byte{0, (msixEnable | msixMaskAll) >> 8})
	if err != nil {
		return nil, err
	}
	x.cap = at
	b.dev, f.msix = o, x
	x.reset()
	return x, nil
}

// Vectors is the size of the table.
func (x *MSIX) Vectors() int { return len(x.src.vectors) }

// Enabled says whether the guest has chosen MSI-X; a function does not use its pin then.
func (x *MSIX) Enabled() bool { return x.enabled.Load() }

// Fire sends vector v, or marks it pending while it is masked. Without such a vector, or with MSI-X disabled, it does nothing. It may
// be called from any goroutine and does not allocate.
func (x *MSIX) Fire(v int) {
	if v >= 0 && v < len(x.src.vectors) {
		x.src.fire(v)
	}
}

// Close gives all vectors back.
func (x *MSIX) Close() {
	x.reset()
	x.src.close()
}

// reset disables MSI-X and masks all vectors, as after power-on. What KVM knows of them stays: nothing is sent.
func (x *MSIX) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enabled.Store(false)
	x.masked = false
	clear(x.table)
	for i := range x.src.vectors {
		x.table[i*msixEntry+entryControl] = entryMasked
		x.refresh(i)
	}
}

// control takes the message control register.
func (x *MSIX) control(reg []byte) {
	v := binary.LittleEndian.Uint16(reg)
	x.mu.Lock()
	defer x.mu.Unlock()
	enabled, masked := v&msixEnable != 0, v&msixMaskAll != 0
	if enabled == x.enabled.Load() && masked == x.masked {
		return
	}
	x.enabled.Store(enabled)
	x.masked = masked
	for i := range x.src.vectors {
		x.refresh(i)
	}
}

// refresh makes vector i follow its entry. x.mu is held.
func (x *MSIX) refresh(i int) {
	entry := x.table[i*msixEntry:][:msixEntry]
	x.src.refresh(i, x.enabled.Load(), !x.masked && entry[entryControl]&entryMasked == 0, irq.Message{
		Address: binary.LittleEndian.Uint64(entry),
		Data:    binary.LittleEndian.Uint32(entry[8:]),
	})
}

// readTable fills p from off in the table.
func (x *MSIX) readTable(off uint64, p []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	copy(p, x.table[off:])
}

// writeTable stores p at off in the table.
func (x *MSIX) writeTable(off uint64, p []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	copy(x.table[off:], p)
	for i := int(off / msixEntry); i <= int(off+uint64(len(p))-1)/msixEntry; i++ {
		x.refresh(i)
	}
}

// overlay puts the MSI-X structures into a device's BAR.
type overlay struct {
	inner           bus.Device
	x               *MSIX
	table, tableEnd uint64
	pba, pbaEnd     uint64
}

// part returns the end of the piece of the BAR that holds off.
func (o *overlay) part(off uint64) (end uint64) {
	end = ^uint64(0)
	for _, edge := range [...]uint64{o.table, o.tableEnd, o.pba, o.pbaEnd} {
		if off < edge && edge < end {
			end = edge
		}
	}
	return end
}

// Read implements bus.Device.
func (o *overlay) Read(off uint64, p []byte) {
	for len(p) > 0 {
		n := min(o.part(off)-off, uint64(len(p)))
		switch q := p[:n]; {
		case off >= o.table && off < o.tableEnd:
			o.x.readTable(off-o.table, q)
		case off >= o.pba && off < o.pbaEnd:
			o.x.src.pending(off-o.pba, q)
		default:
			o.inner.Read(off, q)
		}
		off, p = off+n, p[n:]
	}
}

// Write implements bus.Device.
func (o *overlay) Write(off uint64, p []byte) {
	for len(p) > 0 {
		n := min(o.part(off)-off, uint64(len(p)))
		switch q := p[:n]; {
		case off >= o.table && off < o.tableEnd:
			o.x.writeTable(off-o.table, q)
		case off >= o.pba && off < o.pbaEnd: // read-only
		default:
			o.inner.Write(off, q)
		}
		off, p = off+n, p[n:]
	}
}
