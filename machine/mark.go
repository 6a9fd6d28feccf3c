package machine

import (
	"fmt"
	"sync"

	"github.com/sharevm/vmm/vmm/bus"
)

// MarkPort is an I/O port on which a guest may write a number of one byte for the machine's timeline. Guests that know nothing of it
// never touch it: no PC has a device there.
const MarkPort = 0x6F0

// MarkReady is the number by which a guest says that it has done what it was started for: it is about to show its prompt, or to serve.
const MarkReady = 4

// markNames are the steps that guests of this project report. Any other number goes on the timeline as it is.
var markNames = map[byte]string{
	1:         "guest: first process",
	2:         "guest: root file system",
	3:         "guest: network up",
	MarkReady: "guest: ready",
}

// markPort puts the numbers that a guest writes on the timeline. The first MarkReady is told to ready, which may be nil.
type markPort struct {
	timeline *Timeline
	ready    func()
	once     sync.Once
}

var _ bus.Device = (*markPort)(nil)

// Read gives zeroes.
func (*markPort) Read(_ uint64, p []byte) { clear(p) }

// Write records a mark.
func (m *markPort) Write(_ uint64, p []byte) {
	name, ok := markNames[p[0]]
	if !ok {
		name = fmt.Sprintf("guest mark %d", p[0])
	}
	m.timeline.Add(name)
	if p[0] == MarkReady && m.ready != nil {
		m.once.Do(m.ready)
	}
}
