package machine

import (
	"io"
	"sync"
)

// userConsole joins the user's terminal, and those who attach to it, with the guest's two consoles, serial port and virtio. What either prints goes to all of them. What a
// user types goes to the virtio console once the guest has printed there, and to the serial port until then: a
// kernel talks on the serial port early, and a system on the better one later.
type userConsole struct {
	outMu sync.Mutex
	out   io.Writer // nil once it has failed

	seenMu  sync.Mutex // guards the following
	history history
	others  []*attached

	mu    sync.Mutex
	cond  *sync.Cond
	ends  []*consoleEnd // attached, in order of attachment
	typed []byte        // not yet taken by the guest
	taken int           // bytes that the guest has taken so far
	done  bool          // nobody will read any more
}

// maxTyped bounds what is kept of the user's typing while the guest does not read.
const maxTyped = 4096

// newUserConsole starts reading in, which may be nil, until it ends.
func newUserConsole(in io.Reader, out io.Writer) *userConsole {
	c := &userConsole{out: out}
	c.cond = sync.NewCond(&c.mu)
	if in != nil {
		go c.read(in)
	}
	return c
}

func (c *userConsole) read(in io.Reader) {
	buf := make([]byte, 512)
	for {
		n, err := in.Read(buf)
		c.mu.Lock()
		for len(c.typed)+n > maxTyped && !c.done {
			c.cond.Wait()
		}
		end := err != nil || c.done
		if !c.done {
			c.typed = append(c.typed, buf[:n]...)
		}
		c.cond.Broadcast()
		c.mu.Unlock()
		if end {
			return
		}
	}
}

// close ends the reading, at the latest when the user types next.
func (c *userConsole) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	c.cond.Broadcast()
}

// consoleEnd is one of the guest's consoles, seen from its device: Read is what the user typed, Write is what the guest prints.
type consoleEnd struct {
	c         *userConsole
	preferred bool // takes the input over once it has printed
	// used is called when the guest prints there first, and when it reads what the user typed first. It may be nil.
	used func()

	// Guarded by c.mu.
	printed bool
	read    bool
	closed  bool
}

func (c *userConsole) attach(preferred bool) *consoleEnd {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &consoleEnd{c: c, preferred: preferred}
	c.ends = append(c.ends, e)
	return e
}

// target is the end that gets the input. c.mu is held.
func (c *userConsole) target() *consoleEnd {
	var first *consoleEnd
	for _, e := range c.ends {
		if e.closed {
			continue
		}
		if e.preferred && e.printed {
			return e
		}
		if first == nil && !e.preferred {
			first = e
		}
	}
	return first
}

// Read waits for input that is meant for this end. It returns io.EOF after Close.
func (e *consoleEnd) Read(p []byte) (int, error) {
	c := e.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if e.closed {
			return 0, io.EOF
		}
		if len(c.typed) > 0 && c.target() == e {
			n := copy(p, c.typed)
			c.typed = c.typed[:copy(c.typed, c.typed[n:])]
			c.taken += n
			c.cond.Broadcast()
			e.firstUse(&e.read)
			return n, nil
		}
		c.cond.Wait()
	}
}

// Write prints on the user's terminal, and for those who have attached. It does not fail: one of them that is gone is no reason to let the others wait.
func (e *consoleEnd) Write(p []byte) (int, error) {
	c := e.c
	if e.preferred {
		c.mu.Lock()
		e.firstUse(&e.printed)
		c.mu.Unlock()
	}
	c.show(p)
	c.outMu.Lock()
	defer c.outMu.Unlock()
	if c.out != nil {
		if _, err := c.out.Write(p); err != nil {
			c.out = nil
		}
	}
	return len(p), nil
}

// firstUse notes that the guest has come to use the end in one way. c.mu is held.
func (e *consoleEnd) firstUse(noted *bool) {
	if *noted {
		return
	}
	*noted = true
	e.c.cond.Broadcast()
	if e.used != nil {
		go e.used() // it may wait for a board that is being taken down
	}
}

// Close detaches the end and wakes its reader.
func (e *consoleEnd) Close() error {
	c := e.c
	c.mu.Lock()
	defer c.mu.Unlock()
	e.closed = true
	for i, x := range c.ends {
		if x == e {
			c.ends = append(c.ends[:i], c.ends[i+1:]...)
			break
		}
	}
	c.cond.Broadcast()
	return nil
}
