package ide

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/ata"
)

// Bus master registers of a channel: offsets, and bits.
const (
	masterCommand = 0
	masterStatus  = 2
	masterTable   = 4 // 32 bits
	masterSize    = 8

	masterStart  = 0x01 // in the command register
	masterToHost = 0x08

	masterActive    = 0x01 // in the status register
	masterError     = 0x02
	masterInterrupt = 0x04
	masterCapable   = 0x60 // for software: the drives are set up for DMA
)

// master is the bus master of a channel.
type master struct {
	command, status uint8
	table           uint32
}

// busMaster is the BAR with the registers of both.
type busMaster struct{ k *Controller }

// Read implements bus.Device.
func (d busMaster) Read(off uint64, p []byte) {
	for i := range p {
		at := int(off) + i
		p[i] = d.k.channels[at/masterSize].readMaster(at % masterSize)
	}
}

// Write implements bus.Device.
func (d busMaster) Write(off uint64, p []byte) {
	for i, v := range p {
		at := int(off) + i
		d.k.channels[at/masterSize].writeMaster(at%masterSize, v)
	}
}

func (ch *channel) readMaster(reg int) uint8 {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	m := &ch.master
	switch reg {
	case masterCommand:
		return m.command
	case masterStatus:
		return m.status
	case masterTable, masterTable + 1, masterTable + 2, masterTable + 3:
		return uint8(m.table >> (8 * (reg - masterTable)))
	}
	return 0
}

func (ch *channel) writeMaster(reg int, v uint8) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	m := &ch.master
	switch reg {
	case masterCommand:
		started := v&masterStart != 0 && m.command&masterStart == 0
		m.command = v & (masterStart | masterToHost)
		switch {
		case started:
			m.status |= masterActive
			if ch.phase == dmaWait {
				ch.call(proceed)
			}
		case v&masterStart == 0 && !ch.busy: // a transfer that is under way goes to its end
			m.status &^= masterActive
		}
	case masterStatus:
		m.status = m.status&masterActive | v&masterCapable | m.status&(masterError|masterInterrupt)&^v
	case masterTable, masterTable + 1, masterTable + 2, masterTable + 3:
		shift := 8 * (reg - masterTable)
		m.table = m.table&^(0xff<<shift) | uint32(v)<<shift
		m.table &^= 3
	}
}

// Physical region descriptors: address, byte count (0 is 64 KiB), and a flag in the last one.
const (
	regionSize = 8
	regionLast = 1 << 31
	maxRegions = 64 << 10 / regionSize // a table does not cross 64 KiB
)

// dma carries out the command by the bus master, or waits for its start.
func (ch *channel) dma() {
	c := &ch.cmd
	if ch.master.command&masterStart == 0 {
		ch.phase = dmaWait
		return
	}
	t := table{at: uint64(ch.master.table)}
	sound := ch.master.command&masterToHost != 0 != c.Protocol.ToDevice() // both say the same direction
	ch.segments.Reset()
	for sound && !c.Finished() && !ch.abandoned {
		for !t.ended && !ch.segments.Full() && ch.segments.Len() < c.Length-c.Done {
			p, ok := t.next(ch)
			if sound = ok; !ok {
				break
			}
			ch.segments.Add(p)
		}
		n := ch.segments.Part(c)
		if n == 0 && c.Length > c.Done { // the table is too short
			sound = false
		}
		if sound {
			ch.run(ch.segments.Take(n))
		}
	}
	if ch.abandoned {
		return
	}
	if !sound && !c.Finished() {
		c.Fail(ata.ErrorAbort)
		ch.master.status |= masterError
	}
	// A table with more room than the command had data stays active.
	if !sound || t.ended && ch.segments.Len() == 0 || ch.master.command&masterStart == 0 {
		ch.master.status &^= masterActive
	}
	ch.complete()
}

// table is a walk through physical region descriptors.
type table struct {
	at    uint64
	count int
	ended bool
}

// next returns the memory of the next region, or false where there is none.
func (t *table) next(ch *channel) ([]byte, bool) {
	var d [regionSize]byte
	if t.count++; t.count > maxRegions || ch.mem.Read(t.at, d[:]) != nil {
		return nil, false
	}
	t.at += regionSize
	flags := binary.LittleEndian.Uint32(d[4:])
	t.ended = flags&regionLast != 0
	n := uint64(flags & 0xfffe)
	if n == 0 {
		n = 64 << 10
	}
	p, err := ch.mem.Slice(uint64(binary.LittleEndian.Uint32(d[:])&^1), n)
	return p, err == nil
}
