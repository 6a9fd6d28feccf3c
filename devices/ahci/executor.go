package ahci

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/sharevm/vmm/devices/ata"
)

// slot is a command slot and the command that was fetched from it.
type slot struct {
	number   int
	epoch    uint32
	header   uint64 // where its command header is
	table    uint64 // where its command table is
	prds     int    // entries of the PRD table
	packet   bool   // the header says that there is one
	cmd      ata.Command
	segments ata.Segments
	overflow bool // the command had more data than the table had room
}

// rouse sees to it that an executor looks for commands: another one only where those at work may be long.
func (p *port) rouse() {
	switch {
	case p.paused || p.issue&^p.busy == 0:
	case p.executors > p.idle && p.pace.Quick():
	case p.idle > 0:
		p.wake.Signal()
	case p.executors < maxExecutors:
		p.executors++
		p.done.Go(p.execute)
	}
}

// execute is an executor: it carries out commands until the port is to pause.
func (p *port) execute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.executors-- }()
	for !p.paused {
		s := p.take()
		if s == nil {
			p.idle++
			p.wake.Wait()
			p.idle--
			continue
		}
		p.flying++
		if s.cmd.Protocol.Queued() {
			p.rouse()
		}
		p.serve(s)
		p.flying--
		p.busy &^= 1 << s.number
		p.complete(s)
	}
}

// serve carries out a command without the lock.
func (p *port) serve(s *slot) {
	p.mu.Unlock()
	defer p.mu.Lock()
	begin := time.Now()
	p.run(s)
	if s.cmd.Protocol.Queued() {
		p.pace.Observe(time.Since(begin))
	}
}

// take fetches the next command that may begin, or returns nil. It costs no more than the slots that there are.
func (p *port) take() *slot {
	if p.command&cmdStart == 0 || p.halted || p.relink || p.only != 0 || p.drive == nil || p.link != linkUp {
		return nil
	}
	// A slot that is issued again while its command is under way waits for that one.
	for ready := p.issue &^ p.busy; ready != 0; ready = p.issue &^ p.busy {
		// In turn, from the one after the last.
		n := (p.last + 1 + bits.TrailingZeros32(bits.RotateLeft32(ready, -(p.last+1)))) % Slots
		s := p.slot(n)
		fis, ok := p.fetch(s)
		switch {
		case !ok:
			p.halted = true
			p.status |= intBusFatal
			p.tell()
			return nil
		case fis[1]&fisCommand == 0:
			if p.flying > 0 {
				return nil
			}
			p.last = n
			p.issue &^= 1 << n
			p.softReset(fis[15]&fisReset != 0)
			continue
		}
		c := &s.cmd
		p.drive.Decode(c)
		if c.Protocol == ata.Packet && !c.Finished() {
			if s.packet {
				p.drive.DecodePacket(c)
			} else {
				c.Fail(ata.ErrorAbort)
			}
		}
		if c.Protocol.Queued() && c.Tag != n {
			c.Fail(ata.ErrorAbort)
		}
		if !c.Protocol.Queued() && p.flying > 0 {
			return nil // it waits until nothing is queued
		}
		if g, cost := p.drive.Gate(c); !p.waiter.Pass(g) {
			return nil
		} else {
			g.Pay(1, cost)
		}
		p.last = n
		p.command = p.command&^(31<<cmdSlotShift) | uint32(n)<<cmdSlotShift
		s.epoch = p.epoch
		p.busy |= 1 << n
		if c.Protocol.Queued() {
			p.issue &^= 1 << n // the drive has it
		} else {
			p.only = 1 << n
		}
		return s
	}
	return nil
}

func (p *port) slot(n int) *slot {
	if p.slots[n] == nil {
		p.slots[n] = &slot{number: n}
	}
	return p.slots[n]
}

// fetch copies a slot's command header, frame and packet, or says that they are not in RAM.
func (p *port) fetch(s *slot) (fis [fisLength]byte, ok bool) {
	s.header = p.list + uint64(s.number)*headerSize
	var h [16]byte
	if p.mem.Read(s.header, h[:]) != nil {
		return fis, false
	}
	le := binary.LittleEndian
	flags := le.Uint32(h[0:])
	s.table = le.Uint64(h[8:]) &^ 0x7f
	s.prds = int(flags >> 16)
	s.packet = flags&headerPacket != 0
	s.overflow = false
	if p.mem.Read(s.table+tableFIS, fis[:]) != nil || p.mem.Read(s.table+tablePacket, s.cmd.Packet[:]) != nil {
		return fis, false
	}
	s.cmd.Registers = ata.Registers{
		Opcode:   fis[2],
		Features: uint16(fis[3]) | uint16(fis[11])<<8,
		Count:    le.Uint16(fis[12:]),
		LBA:      uint64(le.Uint32(fis[4:])&0xffffff) | uint64(le.Uint32(fis[8:])&0xffffff)<<24,
		Device:   fis[7],
	}
	// Anything but a register frame is no command that a drive would take.
	if fis[0] != fisToDevice || flags&headerLength < fisLength/4 {
		s.cmd.Registers = ata.Registers{}
		fis[1] |= fisCommand
	}
	return fis, true
}

// run carries out a command in parts that the guest's table has memory for.
func (p *port) run(s *slot) {
	c := &s.cmd
	next := 0
	s.segments.Reset()
	for !c.Finished() {
		left := c.Length - c.Done
		for next < s.prds && !s.segments.Full() && s.segments.Len() < left {
			b, ok := p.region(s, next)
			if !ok {
				c.Fail(ata.ErrorAbort)
				return
			}
			s.segments.Add(b)
			next++
		}
		n := s.segments.Part(c)
		// A packet may well answer with less than it could; of all else the guest has said how much there is.
		if n == 0 && left > 0 && (c.Protocol != ata.PacketIn || c.Unit > 1) {
			s.overflow = true
			c.Fail(ata.ErrorAbort)
			return
		}
		ata.Run(p.drive, c, s.segments.Take(n), p.log, p.name)
	}
}

// region is the memory of an entry of a command's PRD table.
func (p *port) region(s *slot, i int) ([]byte, bool) {
	var d [prdSize]byte
	if p.mem.Read(s.table+tablePRDT+uint64(i)*prdSize, d[:]) != nil {
		return nil, false
	}
	const byteCount = 1<<22 - 1
	b, err := p.mem.Slice(binary.LittleEndian.Uint64(d[:]), uint64(binary.LittleEndian.Uint32(d[12:])&byteCount)+1)
	return b, err == nil
}

// softReset takes a change of SRST in a control frame (section 10.4.1). Nothing is under way.
func (p *port) softReset(on bool) {
	if p.softly && !on {
		p.greet(p.drive.Reset(true))
	}
	p.softly = on
}

func (p *port) pause() {
	p.mu.Lock()
	p.paused = true
	p.wake.Broadcast()
	p.mu.Unlock()
	p.done.Wait()
	p.waiter.Stop()
}

func (p *port) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.rouse()
}
