package ide

import "github.com/sharevm/vmm/devices/ata"

// work is the worker: it carries out what the host waits for, until it is to pause.
func (ch *channel) work() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	defer func() { ch.working = false }()
	for !ch.paused {
		switch {
		case ch.reset && ch.control&controlReset == 0:
			ch.resetDrives(true)
		case ch.again && !ch.reset:
			ch.again, ch.abandoned = false, false
			ch.show(ch.current, ch.drives[ch.current].Reset(true))
		case ch.phase == begin:
			ch.begin()
		case ch.phase == proceed:
			ch.proceed()
		default:
			ch.wake.Wait()
		}
	}
}

// begin decodes the command and does as much of it as needs nothing from the host.
func (ch *channel) begin() {
	c, d := &ch.cmd, ch.drives[ch.current]
	if c.Opcode == opDiagnostic {
		ch.diagnose()
		return
	}
	d.Decode(c)
	switch {
	case c.Finished():
		ch.complete()
	case c.Protocol == ata.Reset:
		ch.phase = idle
		ch.show(ch.current, d.Reset(true))
	case c.Protocol == ata.Packet:
		ch.room(ata.PacketSize)
		ch.phase = packet
		g := &ch.regs[ch.current]
		g.count = fifo{reasonCommand}
		g.status = ata.StatusGood | ata.StatusRequest
	case !ch.pass():
	case c.Protocol == ata.PIOOut:
		ch.room(min(c.Length, bufferSize))
		ch.phase = dataOut
		ch.expect()
	case c.Protocol == ata.DMAIn || c.Protocol == ata.DMAOut:
		ch.dma()
	default:
		ch.proceed()
	}
}

// pass says whether the command may begin. If not, the worker waits until it is worth asking again.
func (ch *channel) pass() bool {
	g, cost := ch.drives[ch.current].Gate(&ch.cmd)
	if !ch.waiter.Pass(g) {
		ch.wake.Wait()
		return false
	}
	g.Pay(1, cost)
	return true
}

// diagnose is EXECUTE DEVICE DIAGNOSTIC, of both drives together. The first is selected afterwards.
func (ch *channel) diagnose() {
	for i, d := range ch.drives {
		if d == nil {
			continue
		}
		c := ata.Command{Registers: ata.Registers{Opcode: opDiagnostic}}
		d.Decode(&c)
		ata.Run(d, &c, nil, ch.log, ch.name)
		ch.show(i, c.Result)
	}
	ch.device = 0
	ch.complete()
}

// proceed carries out the next part of a command whose data goes through the data port, or which has none.
func (ch *channel) proceed() {
	c, d := &ch.cmd, ch.drives[ch.current]
	if c.Protocol == ata.Packet {
		if d.DecodePacket(c); !c.Finished() && !ch.pass() {
			c.Protocol = ata.Packet // to be decoded again
			return
		}
		switch {
		case c.Finished():
			ch.complete()
			return
		case c.Features&1 != 0 && c.Protocol != ata.NonData && c.Length > 0:
			ch.dma()
			return
		case c.Protocol == ata.PacketOut && c.Length > 0:
			ch.room(min(c.Length, bufferSize))
			ch.phase = dataOut
			ch.offer()
			return
		}
	}
	if isDMA(c) {
		ch.dma()
		return
	}
	var n int
	if c.Protocol.ToDevice() {
		n = ch.end
	} else {
		n = min(c.Length-c.Done, bufferSize)
		ch.room(n)
	}
	before := c.Done
	if n > 0 {
		ch.segments.Reset()
		ch.segments.Add(ch.buf[:n])
		ch.run(ch.segments.Take(n))
	} else {
		ch.run(nil)
	}
	moved := c.Done - before
	switch {
	case ch.abandoned:
	case c.Finished() && (c.Result.Status&ata.StatusError != 0 || c.Protocol.ToDevice() || moved == 0):
		ch.complete()
	case c.Protocol.ToDevice():
		ch.room(min(c.Length-c.Done, bufferSize))
		ch.phase = dataOut
		ch.offer()
	default:
		ch.end, ch.phase = moved, dataIn
		ch.offer()
	}
}

// isDMA says whether the data of a decoded command goes by the bus master.
func isDMA(c *ata.Command) bool {
	switch c.Protocol {
	case ata.DMAIn, ata.DMAOut:
		return true
	case ata.PacketIn, ata.PacketOut:
		return c.Features&1 != 0 && c.Length > 0
	}
	return false
}

// run executes a part of the command, without the lock.
func (ch *channel) run(data [][]byte) {
	ch.busy = true
	ch.mu.Unlock()
	defer func() {
		ch.mu.Lock()
		ch.busy = false
	}()
	ata.Run(ch.drives[ch.current], &ch.cmd, data, ch.log, ch.name)
}
