package input

import "github.com/sharevm/vmm/display/input"

// maxWaiting is how many events may wait for the guest, ends of frames included.
const maxWaiting = 1024

// backlog is what the guest has not taken yet: frames of events, each with its end.
type backlog struct {
	ring        [maxWaiting]input.Event
	first, n    int
	held        [input.MaxCode + 1]bool // keys and buttons whose press was taken in
	holding     int
	motionFrame int // length of the newest frame with its end if that is motion and nothing else, otherwise 0
}

// endOfFrame is what follows the events of a frame: SYN_REPORT.
var endOfFrame = input.Event{Type: typeSync}

func (b *backlog) clear() { *b = backlog{} }

// at is the event i places behind the oldest.
func (b *backlog) at(i int) *input.Event { return &b.ring[(b.first+i)%maxWaiting] }

// add takes a frame in, as far as there is room for it and for the releases of all that is held.
func (b *backlog) add(frame []input.Event) {
	if b.join(frame) {
		return
	}
	start, motion := b.n, true
	for _, e := range frame {
		if e.Code > input.MaxCode {
			continue
		}
		if e.Type != input.TypeKey {
			if b.roomFor(2) {
				b.put(e)
			}
			continue
		}
		motion = false
		switch down := e.Value != 0; {
		case b.held[e.Code] == down:
		case down && b.roomFor(4): // two for the event and its end, and two for those of its release
			b.hold(e.Code, true)
			b.put(e)
		case !down:
			b.hold(e.Code, false)
			b.put(e)
		}
	}
	if b.n == start {
		return
	}
	b.put(endOfFrame)
	b.motionFrame = 0
	if motion {
		b.motionFrame = b.n - start
	}
}

// roomFor says whether so many events fit, beside what the releases of all that is held will take.
func (b *backlog) roomFor(events int) bool { return b.n+events+2*b.holding <= maxWaiting }

func (b *backlog) put(e input.Event) {
	*b.at(b.n) = e
	b.n++
}

func (b *backlog) hold(c input.Code, down bool) {
	b.held[c] = down
	if down {
		b.holding++
	} else {
		b.holding--
	}
}

// join adds motion to motion that waits already, where the guest is far behind.
func (b *backlog) join(frame []input.Event) bool {
	// The newest frame must not be the one that is being delivered.
	if b.n < maxWaiting/2 || b.motionFrame == 0 {
		return false
	}
	into := func(e input.Event) *input.Event {
		for i := range b.motionFrame - 1 {
			if old := b.at(b.n - b.motionFrame + i); old.Type == e.Type && old.Code == e.Code {
				return old
			}
		}
		return nil
	}
	for _, e := range frame {
		if e.Type == input.TypeKey || into(e) == nil {
			return false
		}
	}
	for _, e := range frame {
		switch old := into(e); e.Type {
		case input.TypeAbs:
			old.Value = e.Value
		default:
			old.Value = int32(min(max(int64(old.Value)+int64(e.Value), -1<<31), 1<<31-1))
		}
	}
	return true
}

// drop removes the oldest event.
func (b *backlog) drop() {
	b.first = (b.first + 1) % maxWaiting
	b.n--
}

// letGo adds releases of all that is held.
func (b *backlog) letGo() {
	for c, down := range b.held {
		if down {
			b.add([]input.Event{{Type: input.TypeKey, Code: input.Code(c)}})
		}
	}
}
