package ahci

import (
	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/vmm/state"
)

// save appends the port, paused: no command is under way.
func (p *port) save(w *state.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Bool(p.drive != nil)
	if p.drive != nil {
		p.drive.Save(w)
	}
	w.U64(p.list)
	w.U64(p.received)
	for _, v := range []uint32{p.status, p.enable, p.command, p.signature, p.link, p.control, p.errors, p.active, p.issue} {
		w.U32(v)
	}
	p.task.Save(w)
	w.Bool(p.halted)
	w.Bool(p.softly)
	w.Bool(p.greeting)
	w.U8(uint8(p.last))
}

func (p *port) restore(r *state.Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if there := r.Bool(); r.Err() == nil && there != (p.drive != nil) {
		r.Fail("%s: a drive is there: %v", p.name, there)
	}
	if r.Err() != nil || p.drive != nil && p.drive.Restore(r) != nil {
		return
	}
	list, received := r.U64(), r.U64()
	var v [9]uint32
	for i := range v {
		v[i] = r.U32()
	}
	var task ata.Result
	task.Restore(r)
	halted, softly, greeting, last := r.Bool(), r.Bool(), r.Bool(), int(r.U8())
	if r.Err() != nil {
		return
	}
	command, link := v[2], v[4]
	if list&0x3ff != 0 || received&0xff != 0 || v[1]&^uint32(intAll) != 0 || command&^uint32(cmdWritable|cmdHardwareIs|cmdAlways) != 0 ||
		(command&cmdStart != 0) != (command&cmdRunning != 0) || (link == linkUp) && p.drive == nil || link != linkUp && link != linkOff && link != 0 || last >= Slots {
		r.Fail("%s: impossible registers", p.name)
		return
	}
	p.list, p.received, p.task = list, received, task
	p.status, p.enable, p.command, p.signature, p.link, p.control, p.errors, p.active, p.issue = v[0], v[1], command, v[3], link, v[5], v[6], v[7], v[8]
	p.halted, p.softly, p.greeting, p.last = halted, softly, greeting, last
	p.relink, p.isReset, p.only = false, false, 0
}
