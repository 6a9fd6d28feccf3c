package machine

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/virtio/console"
)

// AgentPort is the name of the virtio console port by which a machine talks with a program in its guest (images/guest/setup has that program's part). Lines go
// each way, ended by a newline:
//
//	to the guest    restored NS [OLD=NEW...]   the machine goes on from a snapshot
//	to the host     time                       what time is it?
//	to the guest    time NS                    the answer
//
// NS is the host's time in nanoseconds since 1970, UTC. A guest that was restored sets its clock by an answer, and halves the time that it
// waited for that: a notice may have lain there for long. OLD and NEW are MAC addresses: the network card that has the one shall have the other, because
// another machine that goes on from the same snapshot may be on the same network.
const AgentPort = "vmm.agent"

const (
	maxAgentLine = 64   // bytes of a line from the guest; the rest is dropped
	maxAgentOut  = 1024 // bytes that the guest has not taken; what does not fit is dropped
)

// agent is the machine's end of the port. A nil agent has nobody to talk to.
type agent struct {
	mu     sync.Mutex
	cond   *sync.Cond
	line   []byte // of the guest, so far
	out    []byte // to the guest
	closed bool
}

func newAgent() *agent {
	a := &agent{}
	a.cond = sync.NewCond(&a.mu)
	return a
}

// addAgent adds the port where the configuration asks for it.
func (b *board) addAgent() error {
	if !b.m.cfg.Run.Agent {
		return nil
	}
	b.agent = newAgent()
	dev, err := console.New(console.Config{Ports: []console.PortConfig{{Name: AgentPort, In: b.agent, Out: b.agent}}, Log: b.m.log})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev, b.agent)
	return b.plug("agent", dev)
}

// restored tells the guest that it was restored, and which addresses its network cards had that shall have others now.
func (a *agent) restored(had, now []config.MAC) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var renamed strings.Builder
	for i := range had {
		if had[i] != now[i] {
			fmt.Fprintf(&renamed, " %v=%v", had[i], now[i])
		}
	}
	a.say("restored", renamed.String())
}

// say sends a word, the time, and what follows. a.mu is held.
func (a *agent) say(word, more string) {
	line := fmt.Appendf(nil, "%s %d%s\n", word, time.Now().UnixNano(), more)
	if len(a.out)+len(line) <= maxAgentOut {
		a.out = append(a.out, line...)
		a.cond.Broadcast()
	}
}

// Read gives the device what the guest is to be told. It returns io.EOF after Close.
func (a *agent) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.out) == 0 && !a.closed {
		a.cond.Wait()
	}
	if a.closed {
		return 0, io.EOF
	}
	n := copy(p, a.out)
	a.out = append(a.out[:0], a.out[n:]...)
	return n, nil
}

// Write takes what the guest says.
func (a *agent) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, more, ended := bytes.Cut(rest, []byte("\n"))
		a.line = append(a.line, line[:min(len(line), maxAgentLine-len(a.line))]...)
		rest = more
		if !ended {
			break
		}
		if string(a.line) == "time" {
			a.say("time", "")
		}
		a.line = a.line[:0]
	}
	return len(p), nil
}

// Close ends the reading.
func (a *agent) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.cond.Broadcast()
	return nil
}
