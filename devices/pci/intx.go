package pci

import (
	"sync"

	"github.com/sharevm/vmm/vmm/irq"
)

// intx is a function's interrupt pin.
type intx struct {
	mu       sync.Mutex
	line     irq.Line // nil before Plug, or without a pin
	asserted bool     // by the device
	disabled bool     // by the command register
	driven   bool     // what line was told
}

// UseINTx gives the function an interrupt pin, 1 (INTA#) to 4 (INTD#).
func (f *Function) UseINTx(pin uint8) { f.cfg[regIntPin] = pin }

// SetINTx asserts or deasserts the function's pin. Any goroutine may call it.
func (f *Function) SetINTx(high bool) {
	f.intx.mu.Lock()
	defer f.intx.mu.Unlock()
	f.intx.asserted = high
	f.intx.drive()
}

func (x *intx) disable(off bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.disabled = off
	x.drive()
}

func (x *intx) drive() {
	if level := x.asserted && !x.disabled; x.line != nil && level != x.driven {
		x.driven = level
		x.line.SetLevel(level)
	}
}

func (x *intx) pending() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.asserted
}

// wire is an interrupt line that several pins share: it is high while any of them is.
type wire struct {
	mu   sync.Mutex
	high int // how many pins are
	line irq.Line
}

// Line is an interrupt input that pins share, by its place in Config.Lines, for what is no PCI function. Its user tells of changes only.
func (r *Root) Line(n int) irq.Line { return r.wires[n] }

// SetLevel is called once for each change of a pin.
func (w *wire) SetLevel(high bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.high
	if high {
		w.high++
	} else {
		w.high--
	}
	if (before > 0) != (w.high > 0) {
		w.line.SetLevel(w.high > 0)
	}
}
