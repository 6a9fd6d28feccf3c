package i8042

import "github.com/sharevm/vmm/vmm/state"

// Bytes that keyboard and mouse have in common.
const (
	ack      = 0xFA
	failed   = 0xFC
	selfGood = 0xAA // the self-test after a reset has passed

	devIdentify = 0xF2
	devRate     = 0xF3
	devEnable   = 0xF4
	devDisable  = 0xF5
	devDefaults = 0xF6
	devResend   = 0xFE
	devReset    = 0xFF
)

// ps2 is what keyboard and mouse have in common: the bytes on their way to the controller.
type ps2 struct {
	replies ring  // to commands; go first
	events  ring  // whole sequences
	last    uint8 // the byte sent last, for the command that repeats it
	param   uint8 // the command whose parameter comes next, or 0
	enabled bool  // the guest wants events
}

// answer queues the reply to a command. A guest that sends commands without reading loses the earlier replies.
func (p *ps2) answer(v ...uint8) {
	if !p.replies.push(v...) {
		p.replies.clear()
		p.replies.push(v...)
	}
}

func (p *ps2) waiting() bool { return p.replies.n > 0 || p.events.n > 0 }

// next takes the next byte of a device that has one waiting.
func (p *ps2) next() uint8 {
	q := &p.events
	if p.replies.n > 0 {
		q = &p.replies
	}
	p.last = q.pop()
	return p.last
}

func (p *ps2) save(w *state.Writer) {
	p.replies.save(w)
	p.events.save(w)
	w.U8(p.last)
	w.U8(p.param)
	w.Bool(p.enabled)
}

func (p *ps2) restore(r *state.Reader) {
	p.replies.restore(r)
	p.events.restore(r)
	p.last, p.param, p.enabled = r.U8(), r.U8(), r.Bool()
}
