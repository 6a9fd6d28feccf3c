package control

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/display/input"
)

// maxTyped bounds the characters of one request, so that it ends in time. Who has more to type sends it in pieces.
const maxTyped = 400

// typePatience is for a guest that takes what is typed slowly.
const typePatience = patience - lastPatience

// Keys are keys to press: one of the two fields.
type Keys struct {
	Chord string `json:"chord,omitempty"` // as input.Chord reads it
	Text  string `json:"text,omitempty"`  // as input.Text reads it
}

// Pointer is what to do with the pointer.
type Pointer struct {
	// X and Y are pixels of a screen of Width and Height pixels; without these, pixels from where the pointer is.
	X      int    `json:"x"`
	Y      int    `json:"y"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	Click  string `json:"click,omitempty"` // a button of Buttons to click with afterwards
	Wheel  int    `json:"wheel,omitempty"` // notches away from the user
	WheelX int    `json:"wheelX,omitempty"`
}

// Buttons are the names of buttons.
var Buttons = map[string]input.Code{"left": input.ButtonLeft, "right": input.ButtonRight, "middle": input.ButtonMiddle}

// Stop says how to stop a machine.
type Stop struct {
	Hard bool `json:"hard,omitempty"`
}

// Link says where the cable of a network card is to be.
type Link struct {
	NIC string `json:"nic"` // such as ethernet0
	Up  *bool  `json:"up"`  // in; it has to be there
}

// nothing is the answer where there is nothing to say.
type nothing struct{}

// decode reads the body of a request, where an empty one is an empty object.
func decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return problemf(statusBadRequest, "%v", err)
	}
	if d.More() {
		return problemf(statusBadRequest, "there is something behind the object")
	}
	return nil
}

// did is the answer to a request that was carried out, or not.
func did(answer any, err error) (any, error) {
	if err != nil {
		return nil, problemf(statusConflict, "%v", err)
	}
	return answer, nil
}

func (s *Server) keys(r request) (any, error) {
	var k Keys
	if err := decode(r.body, &k); err != nil {
		return nil, err
	}
	if (k.Chord == "") == (k.Text == "") || len(k.Text) > maxTyped {
		return nil, problemf(statusBadRequest, "either a chord or a text of at most %d characters is needed", maxTyped)
	}
	ctx, cancel := context.WithTimeout(context.Background(), typePatience)
	defer cancel()
	if k.Chord != "" {
		chord, err := input.Chord(k.Chord)
		if err != nil {
			return nil, problemf(statusBadRequest, "%v", err)
		}
		return did(nothing{}, s.machine.Press(ctx, chord))
	}
	presses, err := input.Text(k.Text)
	if err != nil {
		return nil, problemf(statusBadRequest, "%v", err)
	}
	return did(nothing{}, s.machine.Type(ctx, presses))
}

func (s *Server) pointer(r request) (any, error) {
	var p Pointer
	if err := decode(r.body, &p); err != nil {
		return nil, err
	}
	if _, ok := Buttons[p.Click]; !ok && p.Click != "" {
		return nil, problemf(statusBadRequest, "%.16q is not a button: left, right and middle are", p.Click)
	}
	ctx, cancel := context.WithTimeout(context.Background(), typePatience)
	defer cancel()
	return did(nothing{}, s.machine.Point(ctx, p))
}

func (s *Server) stop(r request) (any, error) {
	var stop Stop
	if err := decode(r.body, &stop); err != nil {
		return nil, err
	}
	return s.statusAfter(s.machine.Stop(stop.Hard))
}

func (s *Server) reset(request) (any, error) { return s.statusAfter(s.machine.Restart()) }

func (s *Server) pause(paused bool) (any, error) {
	s.machine.SetPaused(paused)
	return s.statusAfter(nil)
}

func (s *Server) link(r request) (any, error) {
	var l Link
	if err := decode(r.body, &l); err != nil {
		return nil, err
	}
	number, ok := strings.CutPrefix(l.NIC, "ethernet")
	n, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil || l.Up == nil {
		return nil, problemf(statusBadRequest, "nic and up are needed: which network card (ethernet0), and whether its cable is to be in")
	}
	return s.statusAfter(s.machine.SetLink(int(n), *l.Up))
}

func (s *Server) statusAfter(err error) (any, error) {
	if err != nil {
		return did(nil, err)
	}
	return s.status(request{})
}
