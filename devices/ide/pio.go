package ide

import "github.com/sharevm/vmm/devices/ata"

// Interrupt reasons of packet commands, in the count register.
const (
	reasonCommand = 1 // CoD
	reasonToHost  = 2 // IO
)

// readData is the data port.
func (ch *channel) readData(p []byte) {
	clear(p)
	if ch.phase != dataIn || ch.selected() != ch.current {
		return
	}
	ch.at += copy(p, ch.buf[ch.at:ch.blockEnd])
	if ch.at < ch.blockEnd {
		return
	}
	switch {
	case ch.at < ch.end:
		ch.offer()
	case !ch.cmd.Finished():
		ch.regs[ch.current].status = ata.StatusBusy
		ch.call(proceed)
	case ch.cmd.Protocol == ata.PIOIn:
		// The last block ends the command without an interrupt.
		ch.finish()
	default:
		ch.complete()
	}
}

// writeData is the data port.
func (ch *channel) writeData(p []byte) {
	if ch.phase != dataOut && ch.phase != packet || ch.selected() != ch.current {
		return
	}
	ch.at += copy(ch.buf[ch.at:ch.blockEnd], p)
	if ch.at < ch.blockEnd {
		return
	}
	if ch.phase == dataOut && ch.at < ch.end {
		ch.offer()
		return
	}
	if ch.phase == packet {
		copy(ch.cmd.Packet[:], ch.buf)
	}
	ch.regs[ch.current].status = ata.StatusBusy
	ch.call(proceed)
}

// offer shows the host the next block of what lies between at and end, and interrupts it.
func (ch *channel) offer() {
	ch.expect()
	ch.interrupt()
}

// expect is offer without an interrupt.
func (ch *channel) expect() {
	g := &ch.regs[ch.current]
	n := ch.cmd.Block
	if p := ch.cmd.Protocol; p == ata.PacketIn || p == ata.PacketOut {
		n = min(ch.limit(), ch.end-ch.at)
		g.lba[1], g.lba[2] = fifo{uint8(n)}, fifo{uint8(n >> 8)}
		g.count = fifo{}
		if p == ata.PacketIn {
			g.count[0] = reasonToHost
		}
	}
	ch.blockEnd = min(ch.at+n, ch.end)
	g.status = ata.StatusGood | ata.StatusRequest
}

// limit is how many bytes the host takes at once from a packet device: an even number, and what goes over it in the last block only.
func (ch *channel) limit() int {
	n := int(ch.cmd.LBA >> 8 & 0xfffe)
	if n == 0 {
		n = 0xfffe
	}
	return n
}

// room makes the buffer ready for n bytes.
func (ch *channel) room(n int) {
	if ch.buf == nil {
		ch.buf = make([]byte, bufferSize)
	}
	ch.at, ch.end, ch.blockEnd = 0, n, n
}

// complete ends the command and interrupts the host.
func (ch *channel) complete() {
	ch.finish()
	ch.interrupt()
}

// finish ends the command.
func (ch *channel) finish() {
	ch.phase = idle
	r := ch.cmd.Result
	if ch.cmd.Opcode == opDiagnostic {
		return // both drives have shown theirs
	}
	switch ch.cmd.Protocol {
	case ata.Packet, ata.PacketIn, ata.PacketOut:
		r.Count = reasonCommand | reasonToHost
	}
	ch.show(ch.current, r)
	ch.device = ch.device&^0xf | r.Device&0xf
}
