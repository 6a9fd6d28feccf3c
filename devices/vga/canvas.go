package vga

import (
	"bytes"
	"image"

	"github.com/sharevm/vmm/display"
)

// canvas is the device's own memory, for modes that have to be drawn.
type canvas struct {
	mem  *display.Memory // nil without
	size image.Point
	line []byte // one of the picture
}

// resize makes room for a picture; the old one stays with its viewers.
func (c *canvas) resize(width, height int) error {
	size := image.Pt(width, height)
	if c.mem != nil && c.size == size {
		return nil
	}
	c.drop()
	mem, err := display.NewMemory("vga", 4*width*height)
	if err != nil {
		return err
	}
	c.mem, c.size, c.line = mem, size, make([]byte, 4*width)
	return nil
}

// drop gives the memory back.
func (c *canvas) drop() {
	if c.mem != nil {
		c.mem.Release()
	}
	*c = canvas{}
}

// put takes over line y, and says which part of it is new.
func (c *canvas) put(y int) image.Rectangle {
	old := c.mem.Bytes()[4*y*c.size.X:][:len(c.line)]
	if bytes.Equal(old, c.line) {
		return image.Rectangle{}
	}
	from, to := 0, c.size.X
	for bytes.Equal(old[4*from:4*from+4], c.line[4*from:4*from+4]) {
		from++
	}
	for bytes.Equal(old[4*to-4:4*to], c.line[4*to-4:4*to]) {
		to--
	}
	copy(old[4*from:4*to], c.line[4*from:4*to])
	return image.Rect(from, y, to, y+1)
}
