package gpu

import (
	"encoding/binary"
	"image"

	"github.com/sharevm/vmm/display"
)

// sizes are the fixed parts of the commands, beyond the header.
var sizes = map[uint32]int{
	cmdGetDisplayInfo: 0, cmdCreate2D: 16, cmdUnref: 8, cmdSetScanout: rectSize + 8, cmdFlush: rectSize + 8, cmdTransferToHost2D: rectSize + 16,
	cmdAttachBacking: 8, cmdDetachBacking: 8, cmdGetEDID: 8, cmdUpdateCursor: 32, cmdMoveCursor: 32,
}

// execute carries out the command of a worker, and returns the length of its answer.
func (d *Device) execute(w *queueWorker) int {
	c := &w.cmd
	kind := c.u32(0)
	size, known := sizes[kind]
	isCursor := kind == cmdUpdateCursor || kind == cmdMoveCursor
	if c.n == headerSize && known && isCursor == w.cursor {
		c.n += w.chain.CopyIn(c.b[headerSize : headerSize+size])
	}
	n, code := headerSize, uint32(respUnspecified)
	switch {
	case c.n < headerSize || !known || isCursor != w.cursor:
	case c.n < headerSize+size:
		code = respBadParameter
	default:
		n, code = d.do(w, kind)
	}
	// The header goes back with its fence, its context and its ring.
	copy(w.answer[:headerSize], c.b[:headerSize])
	binary.LittleEndian.PutUint32(w.answer[0:], code)
	binary.LittleEndian.PutUint32(w.answer[4:], c.u32(4)&flagFence)
	return n
}

// do carries out a command that is complete.
func (d *Device) do(w *queueWorker, kind uint32) (n int, code uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &w.cmd
	n = headerSize
	const body = headerSize
	switch kind {
	case cmdGetDisplayInfo:
		return displayInfoSize, d.displayInfo(w.answer[headerSize:displayInfoSize])
	case cmdGetEDID:
		s := d.scanout(c.u32(body))
		if s == nil {
			return n, respBadScanout
		}
		clear(w.answer[headerSize:])
		e := display.EDID(s.size.X, s.size.Y)
		binary.LittleEndian.PutUint32(w.answer[headerSize:], uint32(len(e)))
		copy(w.answer[headerSize+8:], e[:])
		return edidSize, respEDID
	case cmdCreate2D:
		return n, d.create(c.u32(body), c.u32(body+4), c.u32(body+8), c.u32(body+12))
	case cmdSetScanout:
		return n, d.setScanout(c.u32(body+rectSize), c.u32(body+rectSize+4), c.rect(body))
	case cmdUpdateCursor, cmdMoveCursor:
		return n, d.moveCursor(c, kind == cmdUpdateCursor)
	}
	// All others begin with the resource, or have it behind a rectangle.
	at := map[uint32]int{cmdFlush: rectSize, cmdTransferToHost2D: rectSize + 8}[kind]
	r := d.resources[c.u32(body+at)]
	if r == nil {
		return n, respBadResource
	}
	switch kind {
	case cmdUnref:
		d.drop(r)
		return n, respOK
	case cmdAttachBacking:
		return n, d.attach(r, c.u32(body+4), &w.chain)
	case cmdDetachBacking:
		return n, d.detach(r)
	case cmdTransferToHost2D:
		return n, r.transfer(c.rect(body), c.u64(body+rectSize))
	default:
		return n, d.flush(r, c.rect(body))
	}
}

func (d *Device) scanout(i uint32) *scanout {
	if i >= uint32(len(d.scanouts)) {
		return nil
	}
	return d.scanouts[i]
}

// displayInfo says where the monitors are: side by side.
func (d *Device) displayInfo(p []byte) uint32 {
	clear(p)
	x := 0
	for i, s := range d.scanouts {
		m := p[i*(rectSize+8):]
		for k, v := range []int{x, 0, s.size.X, s.size.Y, 1} {
			binary.LittleEndian.PutUint32(m[4*k:], uint32(v))
		}
		x += s.size.X
	}
	return respDisplayInfo
}

func (d *Device) setScanout(index, id uint32, rect image.Rectangle) uint32 {
	s := d.scanout(index)
	if s == nil {
		return respBadScanout
	}
	if id == 0 {
		s.off()
		return respOK
	}
	r := d.resources[id]
	if r == nil {
		return respBadResource
	}
	return s.show(r, rect)
}

// flush answers RESOURCE_FLUSH: viewers of the resource are told.
func (d *Device) flush(r *resource, rect image.Rectangle) uint32 {
	if rect.Empty() || !rect.In(r.bounds()) {
		return respBadParameter
	}
	for _, s := range d.scanouts {
		if s.resource == r.id {
			s.surface.Damage(rect.Sub(s.rect.Min))
		}
	}
	return respOK
}

func (d *Device) moveCursor(c *command, update bool) uint32 {
	const body = headerSize
	s := d.scanout(c.u32(body))
	if s == nil {
		return respBadScanout
	}
	if update {
		var r *resource
		if id := c.u32(body + 16); id != 0 {
			if r = d.resources[id]; r == nil {
				return respBadResource
			}
		}
		hot := image.Pt(int(min(c.u32(body+20), display.MaxCursor)), int(min(c.u32(body+24), display.MaxCursor)))
		if code := s.setCursor(r, hot); code != respOK {
			return code
		}
	}
	// Left of and above the screen are numbers below zero.
	s.moveCursor(image.Pt(int(int32(c.u32(body+4))), int(int32(c.u32(body+8)))))
	return respOK
}
