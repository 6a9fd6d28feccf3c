package session

import (
	"slices"

	"github.com/sharevm/vmm/display/input"
)

// maxEarly bounds what is kept for a machine that is starting, in frames; the releases of what they press have room beside it.
const maxEarly = 1024

// early is what the user did for a machine that has no process yet.
type early struct {
	frames [][]input.Event
	down   []input.Code // keys and buttons that frames leave pressed
}

// add keeps events that belong together. Without room it drops motion and presses, but never a release of a press that it kept.
func (e *early) add(events []input.Event) {
	var frame []input.Event
	room := len(e.frames) < maxEarly
	for _, v := range events {
		if v.Type == input.TypeKey {
			held := slices.Contains(e.down, v.Code)
			switch {
			case v.Value == 0 && held:
				e.down = slices.DeleteFunc(e.down, func(c input.Code) bool { return c == v.Code })
			case v.Value != 0 && !held && room:
				e.down = append(e.down, v.Code)
			default:
				continue
			}
		} else if !room {
			continue
		}
		frame = append(frame, v)
	}
	switch n := len(e.frames); {
	case len(frame) == 0:
	case n > 0 && places(frame) && places(e.frames[n-1]):
		e.frames[n-1] = frame
	default:
		e.frames = append(e.frames, frame)
	}
}

// places says whether a frame does nothing but say where the pointer is.
func places(frame []input.Event) bool {
	return !slices.ContainsFunc(frame, func(v input.Event) bool { return v.Type != input.TypeAbs })
}

// letGo releases all that is pressed: the user has turned elsewhere.
func (e *early) letGo() {
	for _, c := range slices.Clone(e.down) {
		e.add([]input.Event{{Type: input.TypeKey, Code: c}})
	}
}
