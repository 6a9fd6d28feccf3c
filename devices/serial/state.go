package serial

import (
	"slices"

	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "serial"
	stateVersion = 1
)

// Pause implements state.Device.
func (u *UART) Pause() {
	u.mu.Lock()
	u.paused = true
	u.mu.Unlock()
	if u.out != nil {
		u.out.pause()
	}
}

// Resume implements state.Device.
func (u *UART) Resume() {
	if u.out != nil {
		u.out.resume()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.paused = false
	u.refill()
	u.updateLine()
}

// Save implements state.Device. What the guest has sent and the host has not written goes along, and so does what has been read for it.
func (u *UART) Save(w *state.Writer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w.Version(stateName, stateVersion)
	for _, v := range []uint8{u.ier, u.fcr, u.lcr, u.mcr, u.scratch, u.divisor[0], u.divisor[1], u.delta} {
		w.U8(v)
	}
	w.Bool(u.overrun)
	w.Bool(u.transmit)
	received := make([]byte, u.rxLen, fifoSize)
	for i := range received {
		received[i] = u.rx[(u.rxHead+i)%fifoSize]
	}
	w.Bytes(received)
	var held, unsent []byte
	if u.in != nil {
		held = u.in.held()
	}
	if u.out != nil {
		unsent = u.out.unsent()
	}
	w.Bytes(held)
	w.Bytes(unsent)
}

// Restore implements state.Device.
func (u *UART) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	var regs [8]uint8
	for i := range regs {
		regs[i] = r.U8()
	}
	overrun, transmit := r.Bool(), r.Bool()
	received, held, unsent := r.Bytes(fifoSize), r.Bytes(inputSize), r.Bytes(ringSize)
	ier, fcr, mcr, delta := regs[0], regs[1], regs[3], regs[7]
	switch {
	case ier&^ierAll != 0, fcr&^fcrKept != 0, fcr&fcrEnable == 0 && fcr != 0, mcr&^mcrAll != 0, delta&^msrDelta != 0:
		r.Fail("serial: registers % x", regs)
	case fcr&fcrEnable == 0 && len(received) > 1:
		r.Fail("serial: %d bytes received without FIFO", len(received))
	}
	if err := r.Err(); err != nil {
		return err
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	u.ier, u.fcr, u.lcr, u.mcr, u.scratch = ier, fcr, regs[2], mcr, regs[4]
	u.divisor, u.delta = [2]uint8{regs[5], regs[6]}, delta
	u.overrun, u.transmit = overrun, transmit
	u.rxHead, u.rxLen = 0, copy(u.rx[:], received)
	if u.in != nil {
		u.in.hold(held)
	}
	if u.out != nil {
		u.out.requeue(unsent)
		u.out.ready() // if not, it says when
	}
	u.refill()
	u.updateLine()
	return nil
}

// held returns a copy of the input that the guest has not received.
func (in *input) held() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.buf)
}

// hold puts p in front of the input. Of what has been typed since, as much is kept as there is room for: a guest that does not read, suspended again and again,
// would collect more than a snapshot may hold.
func (in *input) hold(p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := append(slices.Clone(p), in.buf...)
	in.buf = all[:min(len(all), inputSize)]
}

// requeue makes p the ring's content. It is written when the machine goes on.
func (o *output) requeue(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.head, o.n, o.swapped = 0, len(p), o.busy
	o.paused, o.saved = true, true
	if len(p) == 0 {
		return
	}
	if o.ring == nil {
		o.ring = make([]byte, ringSize)
	}
	copy(o.ring, p)
}
