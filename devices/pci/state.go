package pci

import (
	"encoding/binary"

	"github.com/sharevm/vmm/vmm/state"
)

// Save appends the function's registers and MSI-X table. The device behind it calls it from its own Save.
func (f *Function) Save(w *state.Writer) {
	f.root.mu.Lock()
	defer f.root.mu.Unlock()
	w.Version("pci-function", 1)
	w.Bytes(f.cfg[:])
	f.intx.mu.Lock()
	w.Bool(f.intx.asserted)
	f.intx.mu.Unlock()
	if f.msix != nil {
		f.msix.save(w)
	}
	if f.msi != nil {
		f.msi.save(w)
	}
}

// Restore takes the registers from r, decodes the BARs where they were, and connects the interrupts. Bits that no guest can change
// must be those of this function.
func (f *Function) Restore(r *state.Reader) error {
	f.root.mu.Lock()
	defer f.root.mu.Unlock()
	r.Version("pci-function", 1)
	cfg := r.Bytes(configSize)
	if r.Err() == nil && len(cfg) != configSize {
		r.Fail("%s: configuration space of %d bytes", f.name, len(cfg))
	}
	asserted := r.Bool()
	if r.Err() != nil {
		return r.Err()
	}
	for i, v := range cfg {
		if fixed := ^(f.writable[i] | f.clears[i]); v&fixed != f.cfg[i]&fixed {
			r.Fail("%s: configuration byte %#x is %#x, this function has %#x", f.name, i, v, f.cfg[i])
			return r.Err()
		}
	}
	if f.msix != nil {
		f.msix.restore(r, binary.LittleEndian.Uint16(cfg[f.msix.cap+msixControl:]))
	}
	var pending []byte
	if f.msi != nil {
		pending = f.msi.pendingOf(r)
	}
	if r.Err() != nil {
		return r.Err()
	}
	copy(f.cfg[:], cfg)
	if f.msi != nil {
		f.msi.src.setPending(pending)
	}
	f.SetINTx(asserted)
	f.loaded()
	return nil
}

func (x *MSIX) save(w *state.Writer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w.Bytes(x.table)
	pending := make([]byte, (len(x.src.vectors)+7)/8)
	x.src.pending(0, pending)
	w.Bytes(pending)
}

func (x *MSIX) restore(r *state.Reader, control uint16) {
	table := r.Bytes(len(x.table))
	pending := r.Bytes((len(x.src.vectors) + 7) / 8)
	if r.Err() == nil && (len(table) != len(x.table) || len(pending) != (len(x.src.vectors)+7)/8) {
		r.Fail("MSI-X table of %d bytes where %d were expected", len(table), len(x.table))
	}
	if r.Err() != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	copy(x.table, table)
	x.enabled.Store(control&msixEnable != 0)
	x.masked = control&msixMaskAll != 0
	x.src.setPending(pending)
	for i := range x.src.vectors {
		x.refresh(i)
	}
}

// msiPending is how many bytes of a snapshot hold the pending bits of MSI.
const msiPending = msiMaxVectors / 8

func (m *MSI) save(w *state.Writer) {
	var pending [msiPending]byte
	m.src.pending(0, pending[:])
	w.Bytes(pending[:])
}

// pendingOf reads the pending bits; the registers are the function's.
func (m *MSI) pendingOf(r *state.Reader) []byte {
	pending := r.Bytes(msiPending)
	if r.Err() == nil && len(pending) != msiPending {
		r.Fail("MSI with %d bytes of pending bits", len(pending))
	}
	return pending
}

// Pause implements state.Device.
func (r *Root) Pause() {}

// Save appends the root's own registers and the host bridge; other functions save themselves.
func (r *Root) Save(w *state.Writer) {
	r.mu.Lock()
	w.Version("pci-root", 1)
	w.U32(r.latch)
	r.mu.Unlock()
	r.bridge.Save(w)
}

// Restore implements state.Device.
func (r *Root) Restore(s *state.Reader) error {
	s.Version("pci-root", 1)
	latch := s.U32()
	if s.Err() == nil && latch&^uint32(latchBits) != 0 {
		s.Fail("pci: address latch %#x", latch)
	}
	if s.Err() != nil {
		return s.Err()
	}
	r.mu.Lock()
	r.latch = latch
	r.mu.Unlock()
	return r.bridge.Restore(s)
}

// Resume implements state.Device.
func (r *Root) Resume() {}
