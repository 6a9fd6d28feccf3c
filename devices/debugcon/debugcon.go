// Package debugcon is the port on which firmware reports what it does: a byte written is a character. SeaBIOS and OVMF use it only where
// reading the port gives a certain value.
//
// Source: SeaBIOS, docs/Debugging.md; QEMU, "isa-debugcon".
package debugcon

import (
	"io"
	"sync"

	"github.com/sharevm/vmm/vmm/state"
)

// Port is where firmware looks for it, and Size is the number of its ports.
const (
	Port = 0x402
	Size = 1
)

const (
	readBack = 0xE9 // what tells firmware that somebody listens
	lineSize = 256  // characters kept back until a line is complete
)

// Device is the console. It is a bus.Device of Size ports and a state.Device.
type Device struct {
	mu   sync.Mutex
	out  io.Writer
	left int64
	line []byte
}

// New returns a console that prints on out, whole lines where they are not too long, and nothing after limit bytes. A vCPU waits for out.
func New(out io.Writer, limit int64) *Device {
	return &Device{out: out, left: limit, line: make([]byte, 0, lineSize)}
}

// Read implements bus.Device.
func (d *Device) Read(_ uint64, p []byte) {
	for i := range p {
		p[i] = readBack
	}
}

// Write implements bus.Device.
func (d *Device) Write(_ uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range p {
		d.line = append(d.line, c)
		if c == '\n' || len(d.line) == lineSize {
			d.flush()
		}
	}
}

// flush prints what there is. That nobody takes it is no matter for the guest.
func (d *Device) flush() {
	n := min(int64(len(d.line)), d.left)
	if n > 0 {
		_, _ = d.out.Write(d.line[:n])
	}
	d.left -= n
	d.line = d.line[:0]
}

// Close prints what is left of the last line.
func (d *Device) Close() error {
	d.Pause()
	return nil
}

// Pause implements state.Device.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush()
}

// Resume implements state.Device.
func (d *Device) Resume() {}

const (
	stateName    = "debugcon"
	stateVersion = 1
)

// Save implements state.Device. What was printed is not the guest's to have back.
func (d *Device) Save(w *state.Writer) { w.Version(stateName, stateVersion) }

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	return r.Err()
}
