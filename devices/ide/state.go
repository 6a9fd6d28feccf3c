package ide

import (
	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/vmm/state"
)

// save appends the channel, paused.
func (ch *channel) save(w *state.Writer) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for i, d := range ch.drives {
		w.Bool(d != nil)
		if d == nil {
			continue
		}
		d.Save(w)
		g := &ch.regs[i]
		for _, f := range []fifo{g.features, g.count, g.lba[0], g.lba[1], g.lba[2]} {
			w.U8(f[0])
			w.U8(f[1])
		}
		w.U8(g.status)
		w.U8(g.err)
	}
	w.U8(ch.device)
	w.U8(ch.control)
	w.Bool(ch.intrq)
	w.Bool(ch.reset)
	w.Bool(ch.again)
	w.U8(uint8(ch.phase))
	w.U8(ch.master.command)
	w.U8(ch.master.status)
	w.U32(ch.master.table)
	if ch.phase == idle && !ch.again {
		return
	}
	w.U8(uint8(ch.current))
	ch.cmd.Save(w)
	w.U32(uint32(ch.at))
	w.U32(uint32(ch.blockEnd))
	w.Bytes(ch.buf[:ch.end])
}

func (ch *channel) restore(r *state.Reader) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for i, d := range ch.drives {
		if there := r.Bool(); r.Err() == nil && there != (d != nil) {
			r.Fail("%s: drive %d is there: %v", ch.name, i, there)
		}
		if d == nil || r.Err() != nil {
			continue
		}
		if d.Restore(r) != nil {
			return
		}
		g := &ch.regs[i]
		for _, f := range []*fifo{&g.features, &g.count, &g.lba[0], &g.lba[1], &g.lba[2]} {
			f[0], f[1] = r.U8(), r.U8()
		}
		g.status, g.err = r.U8(), r.U8()
	}
	ch.device, ch.control = r.U8(), r.U8()
	intrq := r.Bool()
	ch.reset, ch.again = r.Bool(), r.Bool()
	ch.phase = phase(r.U8())
	ch.master = master{r.U8(), r.U8(), r.U32()}
	if r.Err() == nil && (ch.phase >= lastPhase || ch.master.command&^(masterStart|masterToHost) != 0 || ch.master.table&3 != 0 ||
		ch.master.status&^(masterActive|masterError|masterInterrupt|masterCapable) != 0) {
		r.Fail("%s: phase %d, bus master %+v", ch.name, ch.phase, ch.master)
	}
	if ch.phase != idle || ch.again {
		ch.restoreCommand(r)
	}
	if r.Err() != nil {
		ch.phase, ch.reset, ch.again = idle, false, false
		return
	}
	ch.intrq = intrq
	ch.drive()
}

// restoreCommand takes back the command that is under way.
func (ch *channel) restoreCommand(r *state.Reader) {
	ch.current = int(r.U8())
	if r.Err() == nil && (ch.current >= Drives || ch.drives[ch.current] == nil) {
		r.Fail("%s: a command of drive %d", ch.name, ch.current)
	}
	if r.Err() != nil {
		return
	}
	ch.cmd.Restore(r, ch.drives[ch.current])
	at, block := int(r.U32()), int(r.U32())
	data := r.Bytes(bufferSize)
	if r.Err() == nil && (at > block || block > len(data) || at == block && (ch.phase == dataIn || ch.phase == dataOut || ch.phase == packet)) {
		r.Fail("%s: %d of %d of %d bytes are moved", ch.name, at, block, len(data))
	}
	if c := &ch.cmd; r.Err() == nil && !ch.fits(len(data)) {
		r.Fail("%s: command %#x in phase %d", ch.name, c.Opcode, ch.phase)
	}
	if r.Err() != nil {
		return
	}
	if len(data) > 0 {
		ch.room(len(data))
		copy(ch.buf, data)
	}
	ch.at, ch.blockEnd, ch.end = at, block, len(data)
}

// fits says whether the command can be in the channel's phase with n bytes in the buffer.
func (ch *channel) fits(n int) bool {
	c := &ch.cmd
	if ch.phase == idle || ch.phase == begin {
		return true
	}
	if c.Finished() && ch.phase != dataIn {
		return false
	}
	switch {
	case c.Protocol == ata.Packet:
		return (ch.phase == packet || ch.phase == proceed) && n == ata.PacketSize
	case isDMA(c):
		return ch.phase == dmaWait || ch.phase == proceed
	case c.Protocol.ToDevice():
		return (ch.phase == dataOut || ch.phase == proceed) && n > 0 && n <= c.Length-c.Done
	case c.Protocol == ata.PIOIn, c.Protocol == ata.PacketIn:
		return ch.phase == dataIn && n <= c.Done || ch.phase == proceed && c.Done < c.Length
	}
	return false
}
