package machine

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/sharevm/vmm/machine/control"
)

// historySize is how much of what the guest printed last is kept for those who attach later, in bytes.
const historySize = 64 << 10

// history is the last of what the guest printed.
type history struct {
	bytes []byte // at most historySize; a ring once it is full
	next  int    // where the next byte goes then
}

func (h *history) add(p []byte) {
	p = p[max(len(p)-historySize, 0):]
	n := min(historySize-len(h.bytes), len(p))
	h.bytes, p = append(h.bytes, p[:n]...), p[n:]
	for len(p) > 0 {
		n := copy(h.bytes[h.next:], p)
		h.next, p = (h.next+n)%historySize, p[n:]
	}
}

// text is a copy of it, in order.
func (h *history) text() []byte { return slices.Concat(h.bytes[h.next:], h.bytes[:h.next]) }

// attached is somebody who has attached to the console.
type attached struct {
	c       *userConsole
	out     io.Writer
	closed  bool // guarded by c.mu
	stalled bool // the guest has taken nothing for long: nobody waits for it again before it does. Guarded by c.mu
}

// show keeps what the guest prints, and shows it to those who have attached.
func (c *userConsole) show(p []byte) {
	c.seenMu.Lock()
	defer c.seenMu.Unlock()
	c.history.add(p)
	for _, a := range c.others {
		_, _ = a.out.Write(p)
	}
}

// join attaches somebody, who sees what was printed last, if that is wanted, and what is printed from now on.
func (c *userConsole) join(out io.Writer, past bool) *attached {
	a := &attached{c: c, out: out}
	c.seenMu.Lock()
	defer c.seenMu.Unlock()
	if past {
		if text := c.history.text(); len(text) > 0 {
			_, _ = out.Write(text)
		}
	}
	c.others = append(c.others, a)
	return a
}

// typingPatience is how long a guest may leave what is typed where it is before the rest is refused.
const typingPatience = 5 * time.Second

var (
	errUnread   = errors.New("the guest does not read its console")
	errDetached = errors.New("detached from the console")
)

// Write types. It waits for a guest that takes what is typed, and errs if it does not.
func (a *attached) Write(p []byte) (n int, err error) {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := time.AfterFunc(typingPatience, c.cond.Broadcast)
	defer timer.Stop()
	taken, since := c.taken, time.Now()
	for n < len(p) {
		if a.closed || c.done {
			return n, errDetached
		}
		if room := min(maxTyped-len(c.typed), len(p)-n); room > 0 {
			c.typed = append(c.typed, p[n:n+room]...)
			n += room
			a.stalled = false
			c.cond.Broadcast()
			continue
		}
		switch {
		case a.stalled:
			return n, errUnread
		case c.taken != taken:
			taken, since = c.taken, time.Now()
			timer.Reset(typingPatience)
		case time.Since(since) >= typingPatience:
			a.stalled = true
			return n, errUnread
		}
		c.cond.Wait()
	}
	return n, nil
}

// Close detaches.
func (a *attached) Close() error {
	c := a.c
	c.mu.Lock()
	a.closed = true
	c.cond.Broadcast()
	c.mu.Unlock()
	c.seenMu.Lock()
	defer c.seenMu.Unlock()
	c.others = slices.DeleteFunc(c.others, func(o *attached) bool { return o == a })
	return nil
}

// ConsoleText is what the guest printed last on its consoles.
func (m *Machine) ConsoleText() []byte {
	m.console.seenMu.Lock()
	defer m.console.seenMu.Unlock()
	return m.console.history.text()
}

// AttachConsole joins somebody to the console, as control.Machine says.
func (m *Machine) AttachConsole(out io.Writer, past bool) control.Console {
	return m.console.join(out, past)
}

// Log is the end of the machine's journal.
func (m *Machine) Log(most int) ([]byte, error) {
	if m.opt.Journal == nil {
		return nil, errors.New("no journal is kept of the machine")
	}
	return m.opt.Journal.Tail(most)
}
