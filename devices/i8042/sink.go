package i8042

import "github.com/sharevm/vmm/display/input"

// Keyboard is the keyboard as the user reaches it.
func (d *Device) Keyboard() input.Sink { return keyboardSink{d} }

// Mouse is the mouse as the user reaches it.
func (d *Device) Mouse() input.Sink { return mouseSink{d} }

type keyboardSink struct{ d *Device }

// Ready implements input.Sink.
func (s keyboardSink) Ready() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.cfg.Devices && s.d.keyboard.enabled && s.d.ram[0]&keyboardDisabled == 0
}

// Frame implements input.Sink.
func (s keyboardSink) Frame(events []input.Event) {
	for _, e := range events {
		if e.Type == input.TypeKey && e.Code <= keyMax {
			s.d.Key(uint16(e.Code), e.Value != 0)
		}
	}
}

// Backlog implements input.Sink.
func (s keyboardSink) Backlog() int {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.keyboard.events.n + s.d.shown(false)
}

type mouseSink struct{ d *Device }

// Ready implements input.Sink.
func (s mouseSink) Ready() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.cfg.Devices && s.d.mouse.streams() && s.d.ram[0]&mouseDisabled == 0
}

// Frame implements input.Sink.
func (s mouseSink) Frame(events []input.Event) {
	var x, y, wheel int
	for _, e := range events {
		switch {
		case e.Type == input.TypeKey:
			s.d.Button(int(e.Code)-int(input.ButtonLeft), e.Value != 0)
		case e.Type != input.TypeRel:
		case e.Code == input.RelX:
			x += int(e.Value)
		case e.Code == input.RelY:
			y += int(e.Value)
		case e.Code == input.RelWheel:
			wheel += int(e.Value)
		}
	}
	if x|y|wheel != 0 {
		s.d.Move(x, y, wheel)
	}
}

// Backlog implements input.Sink.
func (s mouseSink) Backlog() int {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.mouse.events.n + s.d.shown(true)
}

// shown is how many bytes of the mouse or of the keyboard wait at the data port.
func (d *Device) shown(mouse bool) int {
	if d.status&statusFull == 0 || !d.device || d.status&statusAux != 0 != mouse {
		return 0
	}
	return 1
}

// lights turns the keyboard's bits into those of package input.
func lights(leds uint8) (l input.LEDs) {
	for i, light := range []input.LEDs{input.LEDScroll, input.LEDNum, input.LEDCaps} {
		if leds>>i&1 != 0 {
			l |= light
		}
	}
	return l
}
