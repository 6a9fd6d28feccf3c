package input

import (
	"math"
	"time"
)

const (
	// maxKept is how many acts are kept, the releases of what they press included.
	maxKept = 512
	// keptBurst is how many of them a guest gets at once, and keptTime the time between any two after that. Linux keeps 64 events for a program that does not read yet
	// (drivers/input/evdev.c), as a guest's may not that has just been restored, and loses all when there are more; a key that is pressed and let go is four, motion is three.
	keptBurst = 16
	keptTime  = 25 * time.Millisecond
	// keptPatience is for a guest that takes nothing of what was kept: a slow host's has pages to read first.
	keptPatience = 15 * time.Second
)

// kept is what users do before the guest is there that it is meant for.
type kept struct {
	on   bool
	acts []act // the oldest first
	down int   // keys and buttons that were pressed meanwhile and are to be released
}

// Keep has the hub keep what users do, up to a bound, instead of bringing it to devices, until Deliver. It is called before anybody uses the hub.
func (h *Hub) Keep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.on = true
}

// Deliver brings what was kept to the devices, in its order and at a speed that a guest keeps up with, and returns when the hub keeps nothing any more. What users do meanwhile
// comes after it. When stop is closed, or the guest takes nothing for long, it goes to the devices as it is, which drop what they have no room for.
func (h *Hub) Deliver(stop <-chan struct{}) {
	tick := time.NewTicker(keptTime)
	defer tick.Stop()
	limit := time.Now().Add(keptPatience)
	for most := keptBurst; ; most = 1 {
		some, done := h.deliver(most, maxBacklog)
		if done {
			return
		}
		if some {
			limit = time.Now().Add(keptPatience)
		}
		select {
		case now := <-tick.C:
			if now.Before(limit) {
				continue
			}
		case <-stop:
		}
		h.deliver(math.MaxInt, math.MaxInt)
		return
	}
}

// deliver brings so many acts at most to devices where no more than backlog waits. It says whether it were any, and whether nothing is left.
func (h *Hub) deliver(most, backlog int) (some, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; len(h.kept.acts) > 0; most-- {
		a := h.kept.acts[0]
		if at := h.takes(a); most == 0 || at != nil && at.Backlog() > backlog {
			return some, false
		}
		h.kept.acts = h.kept.acts[1:]
		h.do(a)
		some = true
	}
	h.kept = kept{}
	return some, true
}

// take does an act, or keeps it, and says whether it did: there may be no room. A release always has some. The caller holds mu.
func (h *Hub) take(a act) bool {
	k := &h.kept
	if !k.on {
		h.do(a)
		return true
	}
	if k.join(a) {
		return true
	}
	switch a.what {
	case release:
		k.down--
	case press:
		if !k.roomFor(2) { // it and its release
			return false
		}
		k.down++
	default:
		if !k.roomFor(1) {
			return false
		}
	}
	k.acts = append(k.acts, a)
	return true
}

// roomFor says whether so many acts fit, beside the releases that are to come.
func (k *kept) roomFor(acts int) bool { return len(k.acts)+k.down+acts <= maxKept }

// join makes one of two motions that follow on each other.
func (k *kept) join(a act) bool {
	if len(k.acts) == 0 {
		return false
	}
	switch last := &k.acts[len(k.acts)-1]; {
	case a.what != last.what:
		return false
	case a.what == point:
		*last = a
	case a.what == move || a.what == wheel:
		last.x, last.y = int(clampStep(last.x+a.x)), int(clampStep(last.y+a.y))
	default:
		return false
	}
	return true
}
