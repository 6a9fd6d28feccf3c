package link

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
)

// Machine is what a machine's process shows of it.
type Machine struct {
	Surface *display.Surface // nil without a screen
	Input   *input.Hub
	// Clipboard is what the guest shares; nil for nothing.
	Clipboard *frontend.Clipboard
	// Focus is told whether the machine is in front; Power what is wanted. They must not block.
	Focus func(bool)
	Power func(Power)
}

// How often a picture is looked at: for somebody who watches, and for nobody.
const (
	refreshEvery = time.Second / 60
	glanceEvery  = time.Second / 4
)

// Server is the machine's end of a link.
type Server struct {
	m      Machine
	c      *conn
	done   chan struct{}
	wg     sync.WaitGroup
	source *input.Source
	clip   *frontend.Holder // nil without a clipboard

	copied struct {
		mu   sync.Mutex // guards the following
		text string     // that the session has to be told
		news bool
	}

	mu    sync.Mutex // guards the following, and is held while the state is sent
	state State
	text  string

	watch chan bool // to the goroutine that looks at the picture
}

// Serve shows a machine to the session at the other end of u until Close, or until the session goes.
func Serve(u *net.UnixConn, m Machine) *Server {
	s := &Server{m: m, c: newConn(u), done: make(chan struct{}), watch: make(chan bool, 1), source: m.Input.NewSource()}
	lights := make(chan struct{}, 1)
	stop := m.Input.WatchLEDs(func(input.LEDs) { wake(lights) })
	texts := make(chan struct{}, 1)
	leave := s.join(texts)
	s.wg.Go(func() {
		defer leave()
		defer stop()
		for {
			select {
			case <-lights:
				_ = s.c.send(kindLEDs, -1, []byte{byte(m.Input.LEDs())})
			case <-texts:
				s.sendCopied()
			case <-s.done:
				return
			}
		}
	})
	if m.Surface != nil {
		s.wg.Go(s.show)
	}
	go func() {
		defer close(s.done)
		defer s.c.free()
		defer s.source.Release()
		for s.obey() == nil {
		}
		s.c.close()
	}()
	return s
}

// Done is closed when the session is gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends the link.
func (s *Server) Close() {
	s.c.close()
	<-s.done
	s.wg.Wait()
}

// SetState tells the session how the machine is.
func (s *Server) SetState(st State, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == st && s.text == text {
		return
	}
	s.state, s.text = st, text
	_ = s.c.send(kindState, -1, []byte{byte(st)}, []byte(text)) // a session that is gone needs no news
}

// obey does what the next message says.
func (s *Server) obey() error {
	k, p, err := s.c.receive()
	if err != nil {
		return err
	}
	switch k {
	case kindWatch:
		on, err := flag(p)
		if err != nil {
			return err
		}
		select { // what was not yet taken is out of date
		case <-s.watch:
		default:
		}
		s.watch <- on
	case kindWish:
		n, err := numbers(p, 2)
		if err != nil {
			return err
		}
		if s.m.Surface != nil {
			s.m.Surface.Wish(point(n))
		}
	case kindEvents:
		return s.events(p)
	case kindRelease:
		s.source.Release()
	case kindFocus:
		on, err := flag(p)
		if err != nil {
			return err
		}
		s.m.Focus(on)
	case kindPower:
		if len(p) != 1 || p[0] >= byte(powers) {
			return fmt.Errorf("%w: power", ErrProtocol)
		}
		s.m.Power(Power(p[0]))
	case kindPaste:
		return s.paste(p)
	default:
		return fmt.Errorf("%w: message %d", ErrProtocol, k)
	}
	return nil
}

const eventSize = 8

// events plays what the user did.
func (s *Server) events(p []byte) error {
	if len(p)%eventSize != 0 {
		return fmt.Errorf("%w: events of %d bytes", ErrProtocol, len(p))
	}
	var dx, dy, right, away int
	x, y := -1, -1
	for ; len(p) > 0; p = p[eventSize:] {
		e := input.Event{
			Type: input.Type(binary.LittleEndian.Uint16(p)), Code: input.Code(binary.LittleEndian.Uint16(p[2:])), Value: int32(binary.LittleEndian.Uint32(p[4:])),
		}
		switch {
		case e.Type == input.TypeKey:
			s.source.Key(e.Code, e.Value != 0)
		case e.Type == input.TypeAbs && e.Code == input.AbsX:
			x = int(e.Value)
		case e.Type == input.TypeAbs && e.Code == input.AbsY:
			y = int(e.Value)
		case e.Type == input.TypeRel && e.Code == input.RelX:
			dx = int(e.Value)
		case e.Type == input.TypeRel && e.Code == input.RelY:
			dy = int(e.Value)
		case e.Type == input.TypeRel && e.Code == input.RelHWheel:
			right = int(e.Value)
		case e.Type == input.TypeRel && e.Code == input.RelWheel:
			away = int(e.Value)
		}
	}
	if x >= 0 && y >= 0 {
		// In pixels of the picture, so that a guest with nothing but a mouse gets a sensible distance.
		w, h := input.AbsMax+1, input.AbsMax+1
		if s.m.Surface != nil {
			if size := s.m.Surface.Size(); size.X > 0 {
				w, h = size.X, size.Y
			}
		}
		s.source.Point(x*w/(input.AbsMax+1), y*h/(input.AbsMax+1), w, h)
	}
	if dx != 0 || dy != 0 {
		s.source.Move(dx, dy)
	}
	if right != 0 || away != 0 {
		s.source.Wheel(right, away)
	}
	return nil
}
