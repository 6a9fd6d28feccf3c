// Package frontend is what a frontend (a window, a VNC server, a browser's page) is given of a machine: a screen, keys and pointer, and the
// clipboard. A frontend imports this, [display] and [input], and nothing of the machine's.
package frontend

import (
	"sync"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/input"
)

// Machine is one screen of a machine, and what the user does to it.
type Machine struct {
	Name      string // for titles; one line
	Surface   *display.Surface
	Input     *input.Hub
	Clipboard *Clipboard // nil for none
}

// MaxClipboard bounds a clipboard's text, in bytes of UTF-8.
const MaxClipboard = 1 << 20

// Clipboard is text that guest and frontends share. The zero value is empty and ready to use, by any goroutine.
type Clipboard struct {
	mu      sync.Mutex // guards the following
	text    string
	holders map[*Holder]struct{}
}

// Holder is one that reads and writes the clipboard.
type Holder struct {
	clipboard *Clipboard
	changed   func(text string)
}

// Join adds a holder, to whom changed tells the text that others set, one call at a time. It must not block, nor call the clipboard.
func (c *Clipboard) Join(changed func(text string)) *Holder {
	h := &Holder{c, changed}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holders == nil {
		c.holders = map[*Holder]struct{}{}
	}
	c.holders[h] = struct{}{}
	return h
}

// Set puts text on the clipboard and tells the other holders. Text that is too long is passed over.
func (h *Holder) Set(text string) {
	c := h.clipboard
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(text) > MaxClipboard || text == c.text {
		return
	}
	c.text = text
	for other := range c.holders {
		if other != h {
			other.changed(text)
		}
	}
}

// Text is what is on the clipboard now.
func (h *Holder) Text() string {
	h.clipboard.mu.Lock()
	defer h.clipboard.mu.Unlock()
	return h.clipboard.text
}

// Leave takes the holder away. No call of its changed is running when it returns.
func (h *Holder) Leave() {
	c := h.clipboard
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.holders, h)
}
