package ide

import "github.com/sharevm/vmm/devices/ata"

// Command block registers: offsets from the first port.
const (
	regData     = 0
	regError    = 1 // features when written
	regCount    = 2
	regLBA      = 3 // low, mid and high
	regDevice   = 6
	regStatus   = 7 // command when written
	deviceFixed = 0xa0
)

// commandPorts is the command block of a channel.
type commandPorts struct{ ch *channel }

// Read implements bus.Device.
func (d commandPorts) Read(off uint64, p []byte) {
	ch := d.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if off == regData {
		ch.readData(p)
		return
	}
	for i := range p {
		p[i] = ch.read(int(off) + i)
	}
}

// Write implements bus.Device.
func (d commandPorts) Write(off uint64, p []byte) {
	ch := d.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if off == regData {
		ch.writeData(p)
		return
	}
	for i, v := range p {
		ch.write(int(off)+i, v)
	}
}

// read answers for the selected drive; one that is not there reads as zeroes.
func (ch *channel) read(reg int) uint8 {
	i := ch.selected()
	if ch.drives[i] == nil {
		return 0
	}
	g := &ch.regs[i]
	older := int(ch.control & controlPrevious >> 7)
	switch reg {
	case regError:
		return g.err
	case regCount:
		return g.count[older]
	case regLBA, regLBA + 1, regLBA + 2:
		return g.lba[reg-regLBA][older]
	case regDevice:
		return ch.device | deviceFixed
	case regStatus:
		ch.calm()
		return g.status
	}
	return 0
}

func (ch *channel) write(reg int, v uint8) {
	if reg == regStatus {
		ch.writeCommand(v)
		return
	}
	ch.control &^= controlPrevious
	if ch.regs[ch.selected()].status&(ata.StatusBusy|ata.StatusRequest) != 0 {
		return // the registers are the drive's
	}
	for i := range ch.regs {
		g := &ch.regs[i]
		switch reg {
		case regError:
			g.features.push(v)
		case regCount:
			g.count.push(v)
		case regLBA, regLBA + 1, regLBA + 2:
			g.lba[reg-regLBA].push(v)
		}
	}
	if reg == regDevice {
		ch.device = v
	}
}

const (
	opDeviceReset = 0x08
	opDiagnostic  = 0x90
)

// writeCommand begins a command.
func (ch *channel) writeCommand(op uint8) {
	ch.control &^= controlPrevious
	i := ch.selected()
	if op == opDiagnostic && ch.drives[i] == nil {
		i ^= 1 // both drives carry it out
	}
	g := &ch.regs[i]
	switch {
	case ch.drives[i] == nil || ch.control&controlReset != 0 || ch.reset:
		return
	case op == opDeviceReset && ch.drives[i].Packets():
		// It ends whatever the drive is doing, but not what the other one is.
		if ch.phase != idle && ch.current != i {
			return
		}
		ch.abandoned = ch.busy
	case ch.phase != idle || ch.busy || g.status&(ata.StatusBusy|ata.StatusRequest) != 0:
		return
	}
	ch.calm()
	ch.current = i
	g.status = ata.StatusBusy
	if ch.abandoned {
		ch.again, ch.phase = true, idle // when the worker is back
		return
	}
	ch.cmd.Start(ch.take(i, op))
	ch.call(begin)
}

// controlPort is the control block of a channel: alternate status and device control.
type controlPort struct{ ch *channel }

// Read implements bus.Device: the status, without taking the interrupt back.
func (d controlPort) Read(_ uint64, p []byte) {
	ch := d.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	clear(p)
	if i := ch.selected(); ch.drives[i] != nil {
		p[0] = ch.regs[i].status
	}
}

// Write implements bus.Device.
func (d controlPort) Write(_ uint64, p []byte) {
	ch := d.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	was := ch.control
	ch.control = p[0]
	ch.drive()
	switch {
	case was&^p[0]&controlReset != 0:
		// The drives come back as soon as no transfer is under way.
		if ch.reset = true; !ch.busy {
			ch.resetDrives(true)
		}
	case p[0]&controlReset != 0:
		ch.abandoned = ch.busy
		ch.phase = idle
		ch.calm()
		for i, d := range ch.drives {
			if d != nil {
				ch.regs[i].status = ata.StatusBusy
			}
		}
	}
}
