package q35

import (
	"sync"

	"github.com/sharevm/vmm/vmm/irq"
)

// PIRQs is how many interrupt lines PCI pins are wired to, A to H.
const PIRQs = 8

// Router brings each line to an input of the IOAPIC of its own, and to the input of the PICs that the guest has chosen.
type Router struct {
	apic [PIRQs]irq.Line
	pic  [16]irq.Line // nil where PCI interrupts may not go

	mu    sync.Mutex
	to    [PIRQs]uint8
	high  [PIRQs]bool
	count [16]int // lines that hold an input of the PICs high
}

// NewRouter returns a router that is off. apic are inputs 16 to 23 of the IOAPIC; pic gives an ISA interrupt.
func NewRouter(apic [PIRQs]irq.Line, pic func(n int) irq.Line) *Router {
	r := &Router{apic: apic}
	for _, n := range [...]int{3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15} { // the datasheet reserves the others
		r.pic[n] = pic(n)
	}
	for i := range r.to {
		r.to[i] = pirqOff
	}
	return r
}

// Lines are the lines' ends, for the PCI root.
func (r *Router) Lines() []irq.Line {
	lines := make([]irq.Line, PIRQs)
	for i := range lines {
		lines[i] = irq.LineFunc(func(high bool) { r.set(i, high) })
	}
	return lines
}

func (r *Router) set(i int, high bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.high[i] == high {
		return
	}
	r.high[i] = high
	r.apic[i].SetLevel(high)
	r.drive(r.to[i], high)
}

// drive adds a line to an input of the PICs, or takes it away.
func (r *Router) drive(to uint8, high bool) {
	if to&pirqOff != 0 || r.pic[to&15] == nil {
		return
	}
	n := &r.count[to&15]
	if high {
		if *n++; *n == 1 {
			r.pic[to&15].SetLevel(true)
		}
	} else if *n--; *n == 0 {
		r.pic[to&15].SetLevel(false)
	}
}

// route takes what the guest has written.
func (r *Router) route(to [PIRQs]uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, now := range to {
		if r.to[i] == now {
			continue
		}
		if r.high[i] {
			r.drive(r.to[i], false)
			r.drive(now, true)
		}
		r.to[i] = now
	}
}
