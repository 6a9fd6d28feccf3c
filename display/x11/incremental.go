package x11

import (
	"unicode/utf8"

	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display/frontend"
)

// A text that is too long for a request goes in parts (INCR: ICCCM, section 2.7.2): its owner puts one after the other into the same property, each when the one before has been taken
// and deleted, and at last one that is empty.

// transfer is a text that goes to another client.
type transfer struct {
	to               xproto.Window
	property, target xproto.Atom
	rest             string
}

// maxTransfers bounds the texts under way: clients may go before they have theirs.
const maxTransfers = 4

// sendLong begins to hand a text to another client.
func (w *Window) sendLong(to xproto.Window, property, target xproto.Atom, text string) {
	if len(w.transfers) == maxTransfers {
		w.transfers = append(w.transfers[:0], w.transfers[1:]...)
	}
	w.transfers = append(w.transfers, transfer{to, property, target, text})
	xproto.ChangeWindowAttributes(w.x, to, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange})
	size := []byte{byte(len(text)), byte(len(text) >> 8), byte(len(text) >> 16), byte(len(text) >> 24)}
	xproto.ChangeProperty(w.x, xproto.PropModeReplace, to, property, w.atom.incr, 32, 1, size)
}

// sendPart hands the next part to a client that has taken the one before.
func (w *Window) sendPart(to xproto.Window, property xproto.Atom) {
	for i := range w.transfers {
		t := &w.transfers[i]
		if t.to != to || t.property != property {
			continue
		}
		part := t.rest[:min(len(t.rest), w.request-propertyHeader)]
		t.rest = t.rest[len(part):]
		xproto.ChangeProperty(w.x, xproto.PropModeReplace, to, property, t.target, 8, uint32(len(part)), []byte(part))
		if part == "" {
			w.transfers = append(w.transfers[:i], w.transfers[i+1:]...)
		}
		return
	}
}

// arrival is a text that comes from another client.
type arrival struct {
	on   bool
	text []byte
}

// takePart takes the next part of it.
func (w *Window) takePart() {
	if !w.arrival.on || w.holder == nil {
		return
	}
	part, ok := propertyData(w.takeProperty(), w.atom.utf8)
	switch {
	case !ok || len(w.arrival.text)+len(part) > frontend.MaxClipboard:
		w.arrival = arrival{}
	case len(part) > 0:
		w.arrival.text = append(w.arrival.text, part...)
	default:
		if text := w.arrival.text; len(text) > 0 && utf8.Valid(text) {
			w.holder.Set(string(text))
		}
		w.arrival = arrival{}
	}
}
