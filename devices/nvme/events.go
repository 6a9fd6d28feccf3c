package nvme

import "sync"

// maxEvents is how many Asynchronous Event Requests a driver may have outstanding.
const maxEvents = 4

// Results of an asynchronous event (section 5.2): type, information << 8, log page << 16. These are errors that the error log tells more of.
const (
	eventInvalidDoorbell = 0x00<<8 | logErrors<<16 // a doorbell of a queue that is not there
	eventInvalidValue    = 0x01<<8 | logErrors<<16
)

// events are the asynchronous events and the requests that wait for them.
type events struct {
	kick func() // wakes the admin lane

	mu       sync.Mutex
	requests []uint16 // commands that wait, oldest first; at most maxEvents
	pending  uint32   // the result of the event that has not been told
	raised   bool     // there is one
	held     bool     // one was told, and its log page was not read since
}

func (e *events) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.raised, e.held = e.requests[:0], false, false
}

// raise notes an event, unless one of its type is waiting to be read up.
func (e *events) raise(result uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.raised || e.held {
		return
	}
	e.pending, e.raised = result, true
	e.kick()
}

// wait takes an Asynchronous Event Request, and returns false when there are too many.
func (e *events) wait(id uint16) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.requests) == maxEvents {
		return false
	}
	e.requests = append(e.requests, id)
	return true
}

// abort takes a request back, and returns false when there is no such.
func (e *events) abort(id uint16) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, r := range e.requests {
		if r == id {
			e.requests = append(e.requests[:i], e.requests[i+1:]...)
			return true
		}
	}
	return false
}

// read says that the driver has read the log page of what it was told.
func (e *events) read() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = false
}

// next matches an event with a request.
func (e *events) next() (id uint16, result uint32, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.raised || len(e.requests) == 0 {
		return 0, 0, false
	}
	id = e.requests[0]
	e.requests = append(e.requests[:0], e.requests[1:]...)
	e.raised, e.held = false, true
	return id, e.pending, true
}

// due says whether next would find a match.
func (e *events) due() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.raised && len(e.requests) > 0
}
