package x11

import (
	"encoding/binary"
	"sync"
	"unicode/utf8"

	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display/frontend"
)

// cut is the window's part in the host's clipboard (ICCCM, section 2): it owns CLIPBOARD and PRIMARY when the guest has set the text, and asks for theirs when it
// gets the focus.
type cut struct {
	holder *frontend.Holder // nil without a clipboard
	text   string           // of the guest
	owned  map[xproto.Atom]bool

	transfers []transfer
	arrival   arrival

	offered struct {
		mu   sync.Mutex // guards the following
		text string
		new  bool
	}
}

// joinClipboard begins to follow the machine's clipboard.
func (w *Window) joinClipboard() (leave func()) {
	if w.cfg.Machine.Clipboard == nil {
		return func() {}
	}
	w.owned = map[xproto.Atom]bool{}
	w.holder = w.cfg.Machine.Clipboard.Join(func(text string) {
		w.offered.mu.Lock()
		w.offered.text, w.offered.new = text, true
		w.offered.mu.Unlock()
		w.wake()
	})
	return w.holder.Leave
}

// takeOffer puts on the host's clipboard what the guest has set.
func (w *Window) takeOffer() {
	w.offered.mu.Lock()
	text, fresh := w.offered.text, w.offered.new
	w.offered.new = false
	w.offered.mu.Unlock()
	if !fresh {
		return
	}
	w.text = text
	for _, s := range []xproto.Atom{w.atom.clipboard, xproto.AtomPrimary} {
		w.owned[s] = true
		xproto.SetSelectionOwner(w.x, w.id, s, xproto.TimeCurrentTime)
	}
}

// lost notes that another client owns a selection now.
func (w *Window) lost(selection xproto.Atom) { delete(w.owned, selection) }

// askClipboard asks for the host's clipboard, unless it holds the guest's text.
func (w *Window) askClipboard() {
	if w.holder != nil && !w.owned[w.atom.clipboard] {
		xproto.ConvertSelection(w.x, w.id, w.atom.clipboard, w.atom.utf8, w.atom.incoming, xproto.TimeCurrentTime)
	}
}

// takeSelection reads the text that was asked for.
func (w *Window) takeSelection(e xproto.SelectionNotifyEvent) {
	if w.holder == nil || e.Requestor != w.id {
		return
	}
	if e.Property != w.atom.incoming {
		if e.Selection == w.atom.clipboard && !w.owned[xproto.AtomPrimary] { // empty
			xproto.ConvertSelection(w.x, w.id, xproto.AtomPrimary, w.atom.utf8, w.atom.incoming, xproto.TimeCurrentTime)
		}
		return
	}
	w.arrival = arrival{}
	reply := w.takeProperty()
	if text, ok := propertyText(reply, w.atom.utf8); ok {
		w.holder.Set(text)
	}
	w.arrival.on = len(reply) >= propertyReply && xproto.Atom(binary.LittleEndian.Uint32(reply[8:])) == w.atom.incr
}

// takeProperty returns the server's answer about what another client has put on the window, and deletes that; nothing where there is none.
func (w *Window) takeProperty() (reply []byte) {
	err := w.wire.within(func() (err error) {
		reply, err = xproto.GetProperty(w.x, true, w.id, w.atom.incoming, xproto.GetPropertyTypeAny, 0, frontend.MaxClipboard/4).Cookie.Reply()
		return err
	})
	if err != nil {
		return nil
	}
	return reply
}

// propertyReply is the length of the answer to GetProperty without its data.
const propertyReply = 32

// propertyData is the data in the answer to GetProperty: bytes of a kind, and all that there are.
func propertyData(b []byte, kind xproto.Atom) ([]byte, bool) {
	if len(b) < propertyReply || b[1] != 8 || xproto.Atom(binary.LittleEndian.Uint32(b[8:])) != kind {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b[16:])
	if int64(n) > int64(len(b)-propertyReply) || binary.LittleEndian.Uint32(b[12:]) != 0 {
		return nil, false
	}
	return b[propertyReply : propertyReply+n], true
}

// propertyText is the text in the answer to GetProperty.
func propertyText(b []byte, kind xproto.Atom) (string, bool) {
	text, ok := propertyData(b, kind)
	return string(text), ok && len(text) > 0 && utf8.Valid(text)
}

// answerSelection gives another client of the server the guest's text.
func (w *Window) answerSelection(e xproto.SelectionRequestEvent) {
	property := e.Property
	if property == xproto.AtomNone {
		property = e.Target // an old client
	}
	if !w.supply(&e, property) {
		property = xproto.AtomNone
	}
	n := xproto.SelectionNotifyEvent{Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: property}
	xproto.SendEvent(w.x, false, e.Requestor, 0, string(n.Bytes()))
}

// propertyHeader is the length of a ChangeProperty request without its data.
const propertyHeader = 24

// supply puts what is asked for on the client's window.
func (w *Window) supply(e *xproto.SelectionRequestEvent, property xproto.Atom) bool {
	if !w.owned[e.Selection] {
		return false
	}
	switch e.Target {
	case w.atom.targets:
		var b []byte
		all := []xproto.Atom{w.atom.targets, w.atom.utf8, w.atom.text, xproto.AtomString}
		for _, a := range all {
			b = binary.LittleEndian.AppendUint32(b, uint32(a))
		}
		xproto.ChangeProperty(w.x, xproto.PropModeReplace, e.Requestor, property, xproto.AtomAtom, 32, uint32(len(all)), b)
		return true
	case w.atom.utf8, w.atom.text, xproto.AtomString:
		kind := e.Target
		if kind == w.atom.text {
			kind = w.atom.utf8
		}
		if len(w.text) > w.request-propertyHeader {
			w.sendLong(e.Requestor, property, kind, w.text)
			return true
		}
		xproto.ChangeProperty(w.x, xproto.PropModeReplace, e.Requestor, property, kind, 8, uint32(len(w.text)), []byte(w.text))
		return true
	}
	return false
}
