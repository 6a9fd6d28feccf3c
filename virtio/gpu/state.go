package gpu

import (
	"image"
	"maps"
	"slices"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "gpu"
	stateVersion = 1
)

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.filling.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U32(d.events)
	w.U32(uint32(len(d.resources)))
	for _, id := range slices.Sorted(maps.Keys(d.resources)) {
		r := d.resources[id]
		for _, v := range []uint32{r.id, r.format, uint32(r.width), uint32(r.height), uint32(len(r.backing))} {
			w.U32(v)
		}
		for _, p := range r.backing {
			w.U64(p.addr)
			w.U64(p.size)
		}
		w.Pages(r.mem.Bytes())
	}
	w.U32(uint32(len(d.scanouts)))
	for _, s := range d.scanouts {
		w.U32(s.resource)
		for _, v := range []int{s.size.X, s.size.Y, s.rect.Min.X, s.rect.Min.Y, s.rect.Max.X, s.rect.Max.Y, s.position.X, s.position.Y, s.cursor.Width, s.cursor.Height, s.cursor.Hot.X, s.cursor.Hot.Y} {
			w.U32(uint32(v))
		}
		w.Bytes(s.cursor.Pixels)
	}
}

// Restore implements state.Device. What was restored in part is forgotten.
func (d *Device) Restore(r *state.Reader) error {
	d.forget()
	err := d.restore(r)
	if err != nil {
		d.forget()
	}
	return err
}

func (d *Device) restore(r *state.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Version(stateName, stateVersion)
	events := r.U32()
	n := r.U32()
	if n > maxResources || events&^eventDisplay != 0 {
		r.Fail("%d resources, events %#x", n, events)
	}
	for range n {
		if r.Err() != nil {
			return r.Err()
		}
		d.restoreResource(r)
	}
	if n := r.U32(); r.Err() == nil && int(n) != len(d.scanouts) {
		r.Fail("%d scanouts, this card has %d", n, len(d.scanouts))
	}
	for _, s := range d.scanouts {
		if r.Err() == nil {
			s.restore(r)
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	d.events = events
	if r.Aside != nil {
		go d.light()
		return nil
	}
	d.lightAll()
	return nil
}

// light shows what was restored when it is whole.
func (d *Device) light() {
	defer guard.Panic(nil, "pictures")
	d.filling.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lightAll()
}

// lightAll shows what was restored. d.mu is held.
func (d *Device) lightAll() {
	for _, s := range d.scanouts {
		if res := d.resources[s.resource]; s.dark && res != nil {
			s.light(res, s.rect)
		}
	}
}

func (d *Device) restoreResource(r *state.Reader) {
	id, format, width, height, pieces := r.U32(), r.U32(), r.U32(), r.U32(), r.U32()
	if r.Err() != nil {
		return
	}
	if int64(pieces) > int64(maxPieces-d.pieces) {
		r.Fail("a resource with %d pieces of backing", pieces)
		return
	}
	if code := d.create(id, format, width, height); code != respOK {
		r.Fail("resource %d of %dx%d, format %d: error %#x", id, width, height, format, code)
		return
	}
	res := d.resources[id]
	var start uint64
	for range pieces {
		p := piece{addr: r.U64(), size: r.U64(), start: start}
		if r.Err() != nil {
			return
		}
		if p.size == 0 || p.size > 1<<48 {
			r.Fail("a piece of backing of %d bytes", p.size)
			return
		}
		start += p.size
		res.backing = append(res.backing, p)
		d.pieces++
	}
	mem := res.mem
	mem.Hold()
	d.filling.Add(1)
	r.PagesLater(mem.Bytes(), func(err error) {
		defer d.filling.Done()
		defer mem.Release()
		if err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.log().Error("a picture is not what it was when the machine was saved", "resource", id, "error", err)
		}
	})
	if r.Err() != nil { // it is not filled
		mem.Release()
		d.filling.Done()
	}
}

func (s *scanout) restore(r *state.Reader) {
	id := r.U32()
	var v [12]int
	for i := range v {
		v[i] = int(int32(r.U32()))
	}
	c := display.CursorImage{Width: v[8], Height: v[9], Hot: image.Pt(v[10], v[11]), Pixels: slices.Clone(r.Bytes(display.MaxCursor * display.MaxCursor * pixelSize))}
	if r.Err() != nil {
		return
	}
	rect := image.Rect(v[2], v[3], v[4], v[5])
	outside := func(p image.Point, low, high int) bool { return p.X < low || p.Y < low || p.X > high || p.Y > high }
	if c.Check() != nil || outside(c.Hot, 0, display.MaxCursor) || outside(image.Pt(v[0], v[1]), 1, display.MaxSize) {
		r.Fail("a monitor of %dx%d with a cursor of %dx%d", v[0], v[1], v[8], v[9])
		return
	}
	if id == 0 && rect != (image.Rectangle{}) {
		r.Fail("a scanout that shows %v of nothing", rect)
		return
	}
	s.size, s.position = image.Pt(v[0], v[1]), image.Pt(v[6], v[7])
	if len(c.Pixels) == 0 {
		c.Pixels = nil
	}
	s.cursor = c
	s.surface.SetCursor(c)
	s.moveCursor(s.position)
	if id == 0 {
		return
	}
	res := s.device.resources[id]
	if res == nil || rect.Empty() || !rect.In(res.bounds()) {
		r.Fail("a scanout shows %v of resource %d", rect, id)
		return
	}
	s.resource, s.rect, s.dark = id, rect, true
}
