package flash

// Commands, as written to any address.
const (
	cmdReadArray   = 0xFF
	cmdReadArray2  = 0x00 // ends any other mode, too
	cmdReadStatus  = 0x70
	cmdClearStatus = 0x50
	cmdReadID      = 0x90
	cmdReadCFI     = 0x98
	cmdProgram     = 0x40
	cmdProgram2    = 0x10
	cmdErase       = 0x20
	cmdConfirm     = 0xD0
	cmdBuffer      = 0xE8
	cmdLock        = 0x60
	cmdLockBlock   = 0x01
)

// Bits of the status register.
const (
	statusReady        = 1 << 7
	statusEraseFailed  = 1 << 5
	statusProgramError = 1 << 4
	statusSequence     = statusEraseFailed | statusProgramError // both: the guest broke off a sequence of commands
)

// Read implements bus.Device.
func (d *Device) Read(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		at := offset + uint64(i)
		switch d.mode {
		case readStatus:
			p[i] = d.status
		case readID:
			p[i] = identifier(at)
		case readCFI:
			p[i] = query(at, len(d.cfg.Contents))
		default:
			p[i] = d.cfg.Contents[at]
		}
	}
	if d.mode == readArray && d.gather.on {
		// The guest is done with its stores, all of which were delivered before this exit, and reads on.
		d.gather.finish()
	}
}

// Write implements bus.Device.
func (d *Device) Write(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gather.stores++
	switch d.step {
	case wantData:
		d.program(offset, p)
		d.finish()
	case wantConfirm:
		if p[0] == cmdConfirm {
			d.erase(offset &^ (BlockSize - 1))
			d.finish()
			return
		}
		d.abort()
	case wantCount:
		d.count = int(p[0]) + 1
		d.block = offset &^ (bufferSize - 1)
		d.pending = d.pending[:0]
		d.step = wantBuffer
	case wantBuffer:
		d.collect(offset, p)
	case wantProgram:
		if p[0] != cmdConfirm {
			d.abort()
			return
		}
		for _, b := range d.pending {
			d.program(b.at, []byte{b.v})
		}
		d.finish()
	case wantLock: // blocks are not locked, whatever the guest does
		if p[0] != cmdConfirm && p[0] != cmdLockBlock {
			d.abort()
			return
		}
		d.finish()
	default:
		d.command(p[0])
	}
}

// command begins what a command byte asks for.
func (d *Device) command(v uint8) {
	switch v {
	case cmdProgram, cmdProgram2:
		d.expect(wantData) // a run of them is one piece for the store
		return
	case cmdErase:
		d.expect(wantConfirm)
	case cmdBuffer:
		d.status |= statusReady
		d.expect(wantCount)
	case cmdLock:
		d.expect(wantLock)
	case cmdReadStatus:
		d.enter(readStatus)
	case cmdClearStatus:
		// Not even ready: OVMF's driver tells a flash chip from a ROM and from RAM by this zero.
		d.status = 0
	case cmdReadID:
		d.enter(readID)
	case cmdReadCFI:
		d.enter(readCFI)
	case cmdReadArray, cmdReadArray2:
		d.enter(readArray)
	}
	d.commit()
}

// expect waits for the next write of a sequence. Reads give the status meanwhile.
func (d *Device) expect(s step) {
	d.step = s
	d.enter(readStatus)
}

func (d *Device) finish() {
	d.step = wantCommand
	d.status |= statusReady
}

// abort ends a sequence that the guest has broken off.
func (d *Device) abort() {
	d.status |= statusSequence
	d.finish()
}

// collect takes data for the buffer.
func (d *Device) collect(offset uint64, p []byte) {
	for i, v := range p {
		at := offset + uint64(i)
		if at&^(bufferSize-1) != d.block || d.count == 0 {
			d.abort()
			return
		}
		d.pending = append(d.pending, buffered{at, v})
		d.count--
	}
	if d.count == 0 {
		d.step = wantProgram
	}
}

// program clears the bits that p has clear: only an erasure sets any.
func (d *Device) program(offset uint64, p []byte) {
	if d.from < d.to && (offset > d.to || offset+uint64(len(p)) < d.from) {
		d.commit()
	}
	for i, v := range p {
		d.cfg.Contents[offset+uint64(i)] &= v
	}
	d.touch(offset, len(p))
}

// erase sets all bits of a block.
func (d *Device) erase(offset uint64) {
	d.commit()
	block := d.cfg.Contents[offset:][:BlockSize]
	for i := range block {
		block[i] = 0xFF
	}
	d.touch(offset, BlockSize)
	d.commit()
}

// touch notes a change that the store has to get.
func (d *Device) touch(offset uint64, n int) {
	end := offset + uint64(n)
	if d.from == d.to {
		d.from, d.to = offset, end
		return
	}
	d.from, d.to = min(d.from, offset), max(d.to, end)
}

// commit gives the store what was changed. It waits while the piece before is not durable.
func (d *Device) commit() {
	if d.from == d.to {
		return
	}
	from, to := d.from, d.to
	d.from, d.to = 0, 0
	if err := d.sync.write(d.cfg.Contents[from:to], int64(from)); err != nil {
		d.status |= statusProgramError
		if !d.failed {
			d.failed = true
			d.cfg.Log.Error("flash: the variables that the guest writes are lost at the end of the machine", "error", err)
		}
	}
}
