package vdagent

import (
	"encoding/binary"
	"image"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sharevm/vmm/display/frontend"
)

// Config says what is shared with the guest.
type Config struct {
	Clipboard *frontend.Clipboard
	// In has the guest see the host's text, and Out the host the guest's.
	In, Out bool
	// Restored says that the machine goes on from a snapshot: the guest is told nothing before [Agent.Restored] is called. What it answered would never come
	// through once that has closed the port, and it would never see that the port was closed.
	Restored bool
	Log      *slog.Logger // nil is silent
}

// askEvery is the least time between two texts that are taken from the guest.
const askEvery = 50 * time.Millisecond

// Agent is the host's end of a port: Read is what the guest's agent is told, and Write what it says.
type Agent struct {
	cfg    Config
	holder *frontend.Holder

	mu      sync.Mutex // guards the following
	cond    *sync.Cond
	setOpen func(bool) // the host's end of the port
	closed  bool
	open    bool // the guest's end
	broken  bool // the host's end is closed until the guest has closed its own
	anew    bool // the next byte of the guest begins a talk
	// waits are the texts that were asked for and have not come.
	waits   int
	asked   time.Time // when that was last
	armed   bool      // a timer is running for the next
	caps    uint32    // the guest's, 0 as long as it has not said them
	ours    bool      // the guest has been told that the host has a text
	text    string    // on the clipboard
	size    image.Point
	due     due
	refused [selections]bool
	out     []byte // is being sent

	in receiver // Write's
}

// due are messages to send, as a set of bits, in the order in which they go.
type due uint32

const (
	dueAnnounce due = 1 << iota // and the guest is to say what it can
	dueAnswer                   // to the guest's announcement
	dueMaximum
	dueMonitors
	dueGrab
	dueText
	dueRefusal
	dueRequest
)

// New returns an agent for one port, whose guest's end is closed. Close ends it.
func New(c Config) *Agent {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{cfg: c, broken: c.Restored}
	a.cond = sync.NewCond(&a.mu)
	a.holder = c.Clipboard.Join(a.offer)
	text := a.holder.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.text == "" {
		a.text = text
	}
	return a
}

// Attach says how the host's end of the port is opened and closed. It has to be called before the guest can open its own.
func (a *Agent) Attach(setOpen func(open bool)) { a.setOpen = setOpen }

// Close ends the agent and its Read.
func (a *Agent) Close() error {
	a.holder.Leave()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.cond.Broadcast()
	return nil
}

// Opened is told when the guest opens its end of the port, and when it closes it.
func (a *Agent) Opened(open bool) {
	a.mu.Lock()
	again := a.broken && !open
	a.forget()
	a.open = open
	if open && !a.broken {
		a.send(dueAnnounce)
	}
	if again {
		a.broken = false
	}
	a.mu.Unlock()
	if again {
		a.setOpen(true)
	}
}

// Restored is for a machine that goes on from a snapshot, before it does so: what the guest's agent was in the middle of is lost, so that it has to begin anew.
func (a *Agent) Restored() {
	a.mu.Lock()
	open := a.open
	a.broken = open
	a.forget()
	a.mu.Unlock()
	if open {
		a.setOpen(false)
	}
}

// hangUp closes the port until the guest has closed its end.
func (a *Agent) hangUp() {
	a.mu.Lock()
	done := a.broken
	a.broken = true
	a.forget()
	a.mu.Unlock()
	if !done {
		a.setOpen(false)
	}
}

// forget is the state at the beginning of a talk; a.mu is held.
func (a *Agent) forget() {
	a.caps, a.ours, a.waits, a.due, a.out, a.refused = 0, false, 0, 0, nil, [selections]bool{}
	a.anew = true
}

// Wish tells the guest what size its screen should have.
func (a *Agent) Wish(size image.Point) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.size = size
	if a.caps&capMonitorsConfig != 0 {
		a.send(dueMonitors)
	}
}

// offer takes a text that others have put on the clipboard.
func (a *Agent) offer(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = text
	a.grab()
}

// grab tells the guest that the host has a text; a.mu is held.
func (a *Agent) grab() {
	if a.cfg.In && a.caps&capByDemand != 0 && a.text != "" {
		a.ours = true
		a.due &^= dueRequest
		a.send(dueGrab)
	}
}

// send has messages sent; a.mu is held.
func (a *Agent) send(d due) {
	a.due |= d
	a.cond.Broadcast()
}

// Read gives the guest's agent what it is to be told. It returns io.EOF after Close.
func (a *Agent) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.out) == 0 {
		if a.closed {
			return 0, io.EOF
		}
		if a.out = a.next(); a.out == nil {
			a.cond.Wait()
		}
	}
	n := copy(p, a.out)
	if a.out = a.out[n:]; len(a.out) == 0 {
		a.out = nil // it may have been long
	}
	return n, nil
}

// next makes the next message, nil if there is none; a.mu is held.
func (a *Agent) next() []byte {
	d := a.due & -a.due
	if d == dueRequest {
		if rest := askEvery - time.Since(a.asked); rest > 0 {
			a.later(rest)
			return nil
		}
	}
	a.due &^= d
	switch d {
	case dueAnnounce, dueAnswer:
		request := uint32(0)
		if d == dueAnnounce {
			request = 1
		}
		return message(typeAnnounce, "", request, capMonitorsConfig|capByDemand|capSelection|capMaxClipboard)
	case dueMaximum:
		return message(typeMaxClipboard, "", frontend.MaxClipboard)
	case dueMonitors:
		// One monitor, of 32 bits a pixel, at 0, 0.
		return message(typeMonitorsConfig, "", 1, 0, uint32(a.size.Y), uint32(a.size.X), 32, 0, 0)
	case dueGrab:
		return message(typeGrab, "", a.on(0, formText)...)
	case dueText:
		return message(typeClipboard, a.forGuest(a.text), a.on(0, formText)...)
	case dueRefusal:
		i := slices.Index(a.refused[:], true)
		a.refused[i] = false
		if slices.Contains(a.refused[:], true) {
			a.due |= dueRefusal
		}
		return message(typeClipboard, "", a.on(uint32(i), formNone)...)
	case dueRequest:
		a.waits++
		a.asked = time.Now()
		return message(typeRequest, "", a.on(0, formText)...)
	}
	return nil
}

// later wakes Read after a time; a.mu is held.
func (a *Agent) later(rest time.Duration) {
	if a.armed {
		return
	}
	a.armed = true
	time.AfterFunc(rest, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.armed = false
		a.cond.Broadcast()
	})
}

// on puts the selection in front of words, for a guest that knows selections.
func (a *Agent) on(selection uint32, words ...uint32) []uint32 {
	if a.caps&capSelection == 0 {
		return words
	}
	return append([]uint32{selection}, words...)
}

// forGuest ends lines as the guest does.
func (a *Agent) forGuest(text string) string {
	if a.caps&capLinesCRLF == 0 {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// Write takes what the guest's agent says.
func (a *Agent) Write(p []byte) (int, error) {
	n := len(p)
	a.mu.Lock()
	deaf, anew := a.broken || !a.open, a.anew
	a.anew = false
	a.mu.Unlock()
	if anew {
		a.in = receiver{}
	}
	if deaf {
		return n, nil
	}
	for len(p) > 0 {
		rest, kind, data, complete, err := a.in.take(p)
		if complete {
			if text, ok := a.heed(kind, data); ok {
				a.holder.Set(text)
			}
			a.in.rest()
		}
		if err != nil {
			a.cfg.Log.Warn("the clipboard is not shared until the guest's agent starts anew", "error", err)
			a.hangUp()
			return n, nil
		}
		p = rest
	}
	return n, nil
}

// heed acts on a message. With ok, text is to be put on the clipboard.
func (a *Agent) heed(kind uint32, data []byte) (text string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	le := binary.LittleEndian
	if kind == typeAnnounce {
		a.announced(data)
		return "", false
	}
	if a.caps&capByDemand == 0 {
		return "", false
	}
	selection := byte(0)
	if a.caps&capSelection != 0 {
		if len(data) < selectionSize {
			return "", false
		}
		selection, data = data[0], data[selectionSize:]
	}
	if selection >= selections {
		return "", false
	}
	switch kind {
	case typeGrab:
		if selection == 0 {
			a.grabbed(data)
		}
	case typeRequest:
		if selection == 0 && len(data) >= 4 && le.Uint32(data) == formText && a.ours {
			a.send(dueText)
		} else {
			a.refused[selection] = true
			a.send(dueRefusal)
		}
	case typeClipboard:
		if selection == 0 && a.waits > 0 && len(data) >= 4 {
			a.waits--
			if le.Uint32(data) == formText {
				return a.fromGuest(data[4:])
			}
		}
	}
	return "", false
}

// announced takes what the guest's agent can; a.mu is held.
func (a *Agent) announced(data []byte) {
	if len(data) < 8 {
		return
	}
	first := a.caps == 0
	a.caps = binary.LittleEndian.Uint32(data[4:])
	if binary.LittleEndian.Uint32(data) != 0 {
		a.send(dueAnswer)
	}
	if !first {
		return
	}
	if a.caps&capMaxClipboard != 0 {
		a.send(dueMaximum)
	}
	if a.caps&capMonitorsConfig != 0 && a.size != (image.Point{}) {
		a.send(dueMonitors)
	}
	a.grab()
}

// grabbed takes note that the guest's user has copied something in forms; a.mu is held.
func (a *Agent) grabbed(forms []byte) {
	a.ours = false
	a.due &^= dueGrab | dueText
	if !a.cfg.Out {
		return
	}
	for ; len(forms) >= 4; forms = forms[4:] {
		if binary.LittleEndian.Uint32(forms) == formText {
			a.send(dueRequest)
			return
		}
	}
}

// fromGuest is a text of the guest as the host has texts; a.mu is held.
func (a *Agent) fromGuest(data []byte) (text string, ok bool) {
	text = strings.TrimRight(string(data), "\x00")
	if a.caps&capLinesCRLF != 0 {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if text == "" || len(text) > frontend.MaxClipboard || !utf8.ValidString(text) {
		return "", false
	}
	a.text = text
	return text, true
}
