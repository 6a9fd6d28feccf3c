package evdev

import (
	"time"

	"github.com/sharevm/vmm/display/input"
)

// What fingers on a touchpad mean.
const (
	padPixels  = 1200 // of motion, for the whole width of the touchpad
	padNotches = 15   // of the wheel, for the whole height
	tapTime    = 200 * time.Millisecond
	tapShare   = 40 // of the width: a finger that goes further than the 40th part does not tap
)

// pad is what is known of the fingers on a touchpad.
type pad struct {
	fingers  int
	touching bool
	anchored bool // x and y are where the fingers were last
	x, y     int32
	// Motion that is not yet a pixel or a notch, in steps of the touchpad times padPixels or padNotches.
	restX, restY, scroll int64

	began   time.Duration // the touch
	tapping bool          // it may yet be a tap
	most    int           // fingers that took part
	went    int64         // how far, in steps
}

// tools are the buttons by which the kernel says how many fingers there are.
var tools = map[uint16]int{btnToolFinger: 1, btnToolDouble: 2, btnToolTriple: 3, btnToolQuad: 4, btnToolQuint: 5}

// touch handles a frame of a touchpad.
func (t *translator) touch() {
	p := &t.pad
	for _, k := range t.keys {
		if n := tools[k.code]; n != 0 && k.down {
			p.fingers, p.anchored = n, false
		}
		if k.code == btnTouch && k.down {
			*p = pad{fingers: max(p.fingers, 1), touching: true, began: t.now, tapping: true, restX: p.restX, restY: p.restY}
		}
	}
	p.most = max(p.most, p.fingers)
	if p.touching && t.placed {
		p.follow(t)
	}
	for _, k := range t.keys {
		if k.code == btnTouch && !k.down && p.touching {
			p.lift(t)
		}
	}
}

// follow moves the pointer by one finger, and turns the wheel by two.
func (p *pad) follow(t *translator) {
	dx, dy := int64(t.x)-int64(p.x), int64(t.y)-int64(p.y)
	p.x, p.y = t.x, t.y
	if !p.anchored {
		p.anchored = true
		return
	}
	width, height := t.caps.x.span(), t.caps.y.span()
	// Both are within an axis, so that nothing below overflows.
	dx, dy = min(max(dx, -width), width), min(max(dy, -height), height)
	p.went += max(dx, -dx) + max(dy, -dy)
	if p.went > width/tapShare {
		p.tapping = false
	}
	switch p.fingers {
	case 1:
		p.restX, p.restY = p.restX+dx*padPixels, p.restY+dy*padPixels
		t.dx, t.dy = clamp(t.dx+int(p.restX/width)), clamp(t.dy+int(p.restY/width))
		p.restX, p.restY = p.restX%width, p.restY%width
	case 2:
		p.scroll += dy * padNotches
		t.away = clamp(t.away - int(p.scroll/height))
		p.scroll %= height
	}
}

// lift ends a touch, which may have been a tap.
func (p *pad) lift(t *translator) {
	p.touching, p.fingers, p.anchored = false, 0, false
	held := t.now - p.began
	if !p.tapping || held < 0 || held > tapTime {
		return
	}
	b := p.button()
	t.out.Key(b, true)
	t.out.Key(b, false)
}

// button is what a click with so many fingers stands for.
func (p *pad) button() input.Code {
	switch max(p.most, p.fingers) {
	case 2:
		return input.ButtonRight
	case 3:
		return input.ButtonMiddle
	}
	return input.ButtonLeft
}

// press handles the button below the touchpad.
func (p *pad) press(out Handler, down bool) {
	p.tapping = false
	if down {
		out.Key(p.button(), true)
		return
	}
	for _, b := range []input.Code{input.ButtonLeft, input.ButtonRight, input.ButtonMiddle} {
		out.Key(b, false)
	}
}
