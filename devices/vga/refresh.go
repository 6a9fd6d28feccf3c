package vga

import (
	"image"
	"math/bits"

	"github.com/sharevm/vmm/display"
)

// Watched implements display.Source: what the guest writes is logged only while somebody looks.
func (d *Device) Watched(on bool) {
	if err := d.guest.LogDirty(on); err != nil {
		d.log.Warn("cannot log what the guest draws", "device", "VGA", "error", err)
	}
}

// Polled implements display.Source.
func (d *Device) Polled() bool { return true }

// Refresh implements display.Source.
func (d *Device) Refresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	assumed := d.flood.assume()
	if assumed {
		allBits(d.dirty)
	} else if err := d.guest.Dirty(d.dirty); err != nil {
		d.log.Warn("cannot see what the guest draws", "device", "VGA", "error", err)
		allBits(d.dirty)
	}
	for i, w := range d.own {
		d.dirty[i] |= w
	}
	clear(d.own)
	touched := d.touched
	d.touched = false
	m := d.mode()
	switch m.kind {
	case off:
		d.surface.Off()
		d.canvas.drop()
	case direct:
		d.canvas.drop()
		if err := d.surface.Show(d.memory, m.direct); err != nil {
			d.log.Warn("cannot show a mode", "device", "VGA", "error", err)
			d.surface.Off()
			return
		}
		if !assumed {
			d.flood.note(d.dirty, &m.direct)
		}
		d.damageOf(&m.direct)
	default:
		d.flood = flood{}
		d.redraw(&m, touched)
	}
}

func allBits(bitmap []uint64) {
	for i := range bitmap {
		bitmap[i] = ^uint64(0)
	}
}

// redraw draws the picture anew where something may have changed.
func (d *Device) redraw(m *mode, touched bool) {
	if !touched && d.canvas.size == image.Pt(m.width, m.height) && !d.memoryChanged(m) {
		return
	}
	if err := d.canvas.resize(m.width, m.height); err != nil {
		d.log.Warn("no memory for the picture", "device", "VGA", "error", err)
		d.surface.Off()
		return
	}
	if err := d.surface.Show(d.canvas.mem, display.Geometry{Width: m.width, Height: m.height, Stride: 4 * m.width}); err != nil {
		d.log.Warn("cannot show a mode", "device", "VGA", "error", err)
		d.surface.Off()
		return
	}
	pal := d.palette()
	for y := range m.height {
		d.draw(m, &pal, y, d.canvas.line)
		if r := d.canvas.put(y); !r.Empty() {
			d.surface.Damage(r)
		}
	}
}

// memoryChanged says whether some of the memory that the mode may show has changed.
func (d *Device) memoryChanged(m *mode) bool {
	size := len(d.vram)
	if m.kind != indexed {
		size = m.mask + 1
	}
	for _, w := range d.dirty[:bitmapWords(size)] {
		if w != 0 {
			return true
		}
	}
	return false
}

// damageOf turns dirty pages into rectangles of the picture: parts of a line, or whole ones.
func (d *Device) damageOf(g *display.Geometry) {
	end := min(g.Offset+g.Stride*g.Height, len(d.vram))
	lastPage := (end + pageSize - 1) / pageSize
	for page := g.Offset / pageSize; page < lastPage; {
		from := nextBit(d.dirty, page, lastPage, false)
		if from == lastPage {
			return
		}
		page = nextBit(d.dirty, from, lastPage, true)
		a, b := max(from*pageSize, g.Offset)-g.Offset, min(page*pageSize, end)-g.Offset
		if a >= b {
			continue
		}
		r := image.Rect(0, a/g.Stride, g.Width, (b-1)/g.Stride+1)
		if r.Dy() == 1 {
			bpp := g.Format.BytesPerPixel()
			r.Min.X, r.Max.X = a%g.Stride/bpp, ((b-1)%g.Stride+bpp)/bpp
		}
		d.surface.Damage(r)
	}
}

// nextBit returns the first bit at or after i, and before end, that is set (or clear); end without.
func nextBit(bitmap []uint64, i, end int, clear bool) int {
	for i < end {
		w := bitmap[i/64]
		if clear {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(i+bits.TrailingZeros64(w), end)
		}
		i = i&^63 + 64
	}
	return end
}
