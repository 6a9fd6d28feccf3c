package hda

import "encoding/binary"

// commands carries out what is in the command ring and puts the answers into the response ring: at most a ring full, all at once, as if the link
// were fast. d.mu is held.
func (d *Device) commands() {
	if d.regs[regCORBCTL]&corbRun == 0 || d.regs[regRIRBCTL]&rirbRun == 0 || d.regs[regCORBRP+1]&pointerReset != 0 || d.regs[regCORBRP] == d.regs[regCORBWP] {
		return
	}
	corb, err := d.mem.Slice(d.get64(regCORBBASE), ringEntries*4)
	if err != nil {
		d.log.Warn("the command ring is not in RAM", "device", d.name, "error", err)
		d.regs[regCORBSTS] |= corbError
		d.regs[regCORBCTL] &^= corbRun
		return
	}
	rirb, err := d.mem.Slice(d.get64(regRIRBBASE), ringEntries*8)
	if err != nil {
		d.log.Warn("the response ring is not in RAM", "device", d.name, "error", err)
		d.regs[regRIRBSTS] |= rirbOverrun
		d.regs[regRIRBCTL] &^= rirbRun
		return
	}
	le := binary.LittleEndian
	for d.regs[regCORBRP] != d.regs[regCORBWP] {
		d.regs[regCORBRP]++
		answer, ok := d.codec.command(le.Uint32(corb[4*int(d.regs[regCORBRP]):]))
		if !ok { // from an address without codec nothing comes
			continue
		}
		d.regs[regRIRBWP]++
		entry := rirb[8*int(d.regs[regRIRBWP]):]
		le.PutUint32(entry, answer)
		le.PutUint32(entry[4:], codecAddress)
		d.regs[regRIRBSTS] |= rirbInterrupt // the ring of commands is empty by the time that the driver sees it
	}
}

// immediate carries out the one command in the registers for it (section 3.4.3).
func (d *Device) immediate() {
	answer, ok := d.codec.command(d.get32(regICOI))
	if !ok {
		return
	}
	d.set32(regICII, answer)
	d.regs[regICIS] |= icisValid
}
