package ahci

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/ata"
)

// complete tells the guest of a command that has come to its end, unless nobody wants to know any more.
func (p *port) complete(s *slot) {
	c := &s.cmd
	queued := c.Protocol.Queued()
	if !queued {
		p.only = 0
	}
	switch {
	case s.epoch != p.epoch:
		// The port was stopped or reset.
	case p.halted:
		// An error has ended everything that was queued (SATA 3.0, section 13.6.4.1).
	case queued:
		p.completeQueued(s)
	default:
		p.completeSingle(s)
	}
	p.settle()
	if p.flying == 0 || queued {
		p.rouseOther()
	}
}

// rouseOther is for executors that could not begin a command because of one that has ended now. The caller looks for one itself.
func (p *port) rouseOther() {
	if p.idle > 0 && p.issue&(p.issue-1) != 0 && !p.pace.Quick() {
		p.wake.Signal()
	}
}

func (p *port) completeSingle(s *slot) {
	c := &s.cmd
	r := c.Result
	if c.Protocol == ata.Packet || c.Protocol == ata.PacketIn || c.Protocol == ata.PacketOut {
		r.Count = 3 // command complete, as in parallel ATA
	}
	var done [4]byte
	binary.LittleEndian.PutUint32(done[:], uint32(c.Done))
	_ = p.mem.Write(s.header+4, done[:]) // it could be read, so it is RAM
	p.task = r
	if s.overflow {
		p.status |= intOverflow
	}
	if r.Status&ata.StatusError != 0 {
		p.halted = true
		p.status |= intTaskFile
		p.sendRegister(r, true)
	} else {
		p.issue &^= 1 << s.number
		if c.Protocol == ata.PIOIn {
			p.sendPIOSetup(c)
		} else {
			p.sendRegister(r, true)
		}
	}
	p.tell()
}

func (p *port) completeQueued(s *slot) {
	r := s.cmd.Result
	done := uint32(1) << s.number
	if r.Status&ata.StatusError != 0 {
		p.halted = true
		p.status |= intTaskFile
		done = 0
	}
	if s.overflow {
		p.status |= intOverflow
	}
	p.active &^= done
	p.task = r
	p.status |= intDeviceBit
	f := [8]byte{fisSetBits, fisInterrupt, r.Status & 0x77, r.Error}
	binary.LittleEndian.PutUint32(f[4:], done)
	p.send(receivedSetBits, f[:])
	p.tell()
}

// sendRegister is a register frame from the drive.
func (p *port) sendRegister(r ata.Result, interrupt bool) {
	f := frame(fisToHost, r)
	if interrupt {
		f[1] = fisInterrupt
		p.status |= intRegister
	}
	p.send(receivedRegister, f[:])
}

// sendPIOSetup is the frame before the last data of a PIO read, whose ending status is that of the command.
func (p *port) sendPIOSetup(c *ata.Command) {
	r := c.Result
	f := frame(fisPIOSetup, r)
	f[1] = fisInterrupt | fisIn
	f[2] = ata.StatusGood | ata.StatusRequest
	f[15] = r.Status
	binary.LittleEndian.PutUint16(f[16:], uint16(min(c.Block, c.Length)))
	p.status |= intPIO
	p.send(receivedPIO, f[:])
}

// frame is what register and PIO setup frames have in common.
func frame(kind byte, r ata.Result) (f [fisLength]byte) {
	var lba [8]byte
	binary.LittleEndian.PutUint64(lba[:], r.LBA)
	f[0], f[2], f[3], f[7] = kind, r.Status, r.Error, r.Device
	copy(f[4:7], lba[:3])
	copy(f[8:11], lba[3:6])
	binary.LittleEndian.PutUint16(f[12:], r.Count)
	return f
}

// send stores a frame where the guest wants it. One who names no RAM does without.
func (p *port) send(off uint64, f []byte) {
	if p.command&cmdReceive != 0 {
		_ = p.mem.Write(p.received+off, f)
	}
}
