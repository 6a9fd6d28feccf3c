package x11

import (
	"image"

	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display/input"
)

// evdevOffset is what X servers add to the kernel's number of a key.
const evdevOffset = 8

// action is what keys ask of the window itself.
type action int

const (
	nothing action = iota
	letGo          // of keyboard and pointer
	toggleFullScreen
)

// Bits of hands.mods.
const (
	leftCtrl = 1 << iota
	rightCtrl
	leftAlt
	ctrls = leftCtrl | rightCtrl
)

var modBits = map[input.Code]uint8{input.KeyLeftCtrl: leftCtrl, input.KeyRightCtrl: rightCtrl, input.KeyLeftAlt: leftAlt}

// hands are the user's keys and pointer, as the window's events tell of them.
type hands struct {
	source *input.Source
	mods   uint8 // held
	chord  bool  // Ctrl and Alt went down, and nothing else did since

	// last is where the pointer was when it was last seen in relative mode, and warped whether it is on its way to the middle.
	last   image.Point
	primed bool
	warped bool
}

// key passes a key on, and says what it means for the window.
func (h *hands) key(code input.Code, down bool) action {
	bit := h.mods
	if b := modBits[code]; b != 0 {
		if down {
			h.mods |= b
		} else {
			h.mods &^= b
		}
	}
	if down && h.mods != bit {
		h.chord = h.mods&ctrls != 0 && h.mods&leftAlt != 0
	} else if down && modBits[code] == 0 {
		h.chord = false
		if code == input.KeyEnter && h.mods&ctrls != 0 && h.mods&leftAlt != 0 {
			return toggleFullScreen
		}
	}
	h.source.Key(code, down)
	if !down && modBits[code] != 0 && h.chord {
		h.chord = false
		return letGo
	}
	return nothing
}

// drop lets go of everything.
func (h *hands) drop() {
	h.mods, h.chord, h.primed, h.warped = 0, false, false, false
	h.source.Release()
}

var buttons = map[xproto.Button]input.Code{
	1: input.ButtonLeft, 2: input.ButtonMiddle, 3: input.ButtonRight, 8: input.ButtonSide, 9: input.ButtonExtra,
}

// button passes a button or a notch of a wheel on.
func (h *hands) button(b xproto.Button, down bool) {
	if code, ok := buttons[b]; ok {
		h.source.Key(code, down)
		return
	}
	if !down {
		return
	}
	switch b {
	case 4:
		h.source.Wheel(0, 1)
	case 5:
		h.source.Wheel(0, -1)
	case 6:
		h.source.Wheel(-1, 0)
	case 7:
		h.source.Wheel(1, 0)
	}
}

// move passes on how far the pointer went since it was last seen in a window of a size, and says whether it has to be put back to the middle.
func (h *hands) move(at, size image.Point) (warp bool) {
	middle := size.Div(2)
	if h.warped && at == middle {
		h.warped, h.last = false, at
		return false
	}
	if h.primed {
		if d := at.Sub(h.last); d != (image.Point{}) {
			h.source.Move(d.X, d.Y)
		}
	}
	h.primed, h.last = true, at
	off := at.Sub(middle)
	if !h.warped && (abs(off.X) > size.X/4 || abs(off.Y) > size.Y/4) {
		h.warped = true
		return true
	}
	return false
}

func abs(n int) int { return max(n, -n) }
