package input

import (
	"slices"
	"sync"
)

// Class is what a device of the guest is.
type Class uint8

// The classes.
const (
	Keyboard Class = iota
	Mouse          // relative motion, buttons and wheels
	Tablet         // absolute position, buttons and wheels
	classes
)

// Sink is a device of the guest. Its methods are called one at a time, never block, and call nothing of the hub's but SetLEDs.
type Sink interface {
	// Ready says whether the guest's driver listens. Events for a device that is not ready may go to another, or are lost.
	Ready() bool
	// Frame takes events that belong together, in the order in which they happened. It does not keep the slice. A device that has no room
	// may drop motion and presses, but never a release of a press that it took.
	Frame(events []Event)
	// Backlog is how many events or bytes wait for the guest, 0 when it has taken all.
	Backlog() int
}

// Hub brings the events of all sources to the devices. The zero value is ready to use. All methods may be called from any goroutine.
type Hub struct {
	mu    sync.Mutex       // guards the following; held while a Sink is called
	sinks [classes][]*seat // in order of their preference, the last first
	// down are the keys and buttons that are held.
	down map[Code]*hold
	// pointer has moved last: buttons and wheels go there.
	pointer *seat
	frame   []Event // of the call at hand
	kept    kept    // before the guest is there
	sent    uint64  // frames, to devices
	// x and y are where the pointer was seen last, in 0..AbsMax, and in pixels.
	x, y, px, py int32

	lights struct {
		mu       sync.Mutex // guards the following
		now      LEDs
		watchers map[*func(LEDs)]struct{}
	}
}

// seat is an attached device.
type seat struct{ Sink }

type hold struct {
	at *seat // nil where no device took it
	by int   // sources that hold it
}

// Attach adds a device, which is preferred to those of its class that are there already. detach takes it away; it returns when nobody calls
// the device any more.
func (h *Hub) Attach(c Class, s Sink) (detach func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &seat{s}
	h.sinks[c] = append(h.sinks[c], d)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sinks[c] = slices.DeleteFunc(h.sinks[c], func(x *seat) bool { return x == d })
		for _, held := range h.down {
			if held.at == d {
				held.at = nil
			}
		}
		if h.pointer == d {
			h.pointer = nil
		}
	}
}

// ready finds the device of a class that events go to; nil for none. The caller holds mu.
func (h *Hub) ready(c Class) *seat {
	for _, s := range slices.Backward(h.sinks[c]) {
		if s.Ready() {
			return s
		}
	}
	return nil
}

// Backlog is how much of what was sent still waits for the guest, at the device where the most waits, or here.
func (h *Hub) Backlog() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = len(h.kept.acts)
	for _, list := range h.sinks {
		for _, s := range list {
			if s.Ready() {
				n = max(n, s.Backlog())
			}
		}
	}
	return n
}

// Sent is how often devices were given events so far.
func (h *Hub) Sent() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// Ready says whether a device of the class listens.
func (h *Hub) Ready(c Class) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready(c) != nil
}

// LEDs are the lights that the guest lit last.
func (h *Hub) LEDs() LEDs {
	h.lights.mu.Lock()
	defer h.lights.mu.Unlock()
	return h.lights.now
}

// SetLEDs is for keyboards: the guest has lit these lights and no others.
func (h *Hub) SetLEDs(l LEDs) {
	h.lights.mu.Lock()
	defer h.lights.mu.Unlock()
	if l == h.lights.now {
		return
	}
	h.lights.now = l
	for w := range h.lights.watchers {
		(*w)(l)
	}
}

// WatchLEDs calls f at each change of the lights, until stop is called. f must not block, nor call the hub.
func (h *Hub) WatchLEDs(f func(LEDs)) (stop func()) {
	h.lights.mu.Lock()
	defer h.lights.mu.Unlock()
	if h.lights.watchers == nil {
		h.lights.watchers = map[*func(LEDs)]struct{}{}
	}
	h.lights.watchers[&f] = struct{}{}
	return func() {
		h.lights.mu.Lock()
		defer h.lights.mu.Unlock()
		delete(h.lights.watchers, &f)
	}
}
