package drm

import (
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sharevm/vmm/display/drm/evdev"
	"github.com/sharevm/vmm/display/drm/vt"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/guard"
)

// Config describes a screen.
type Config struct {
	Machine frontend.Machine
	// Output is the card (card1), the connector (HDMI-A-1) or both (card1:HDMI-A-1) to show the machine at; "" stands for the first monitor.
	Output string
	// Guard is the command, without the terminal's number, that runs vt.Guard.
	Guard []string
	// Locked says that Ctrl+Alt+F1 to F12 are the guest's, and do not switch to the host's terminals.
	Locked bool
	// Closed is called when the console is lost for good. It must not block.
	Closed func()
	Log    *slog.Logger // nil is silent
}

// terminal is a vt.Terminal.
type terminal interface {
	Events() <-chan vt.Event
	Released()
	Switch(n int)
	Close() error
}

// devices are an evdev.Devices.
type devices interface {
	SetActive(on bool)
	SetLEDs(l input.LEDs)
	Close() error
}

// Screen shows a machine on the host's screen.
type Screen struct {
	cfg      Config
	wanted   wanted
	card     *card
	open     opener
	terminal terminal      // nil where there are none
	devices  devices       // nil where there are none
	uevents  io.ReadCloser // nil where the kernel says nothing
	hands

	done    chan struct{}
	running sync.WaitGroup
	// painting is the painter, which is the card's last user.
	painting sync.WaitGroup
	flipped  chan struct{} // gets a value for each flip that is done
	plugged  chan struct{} // gets a value when monitors have come or gone
	lights   chan struct{} // gets a value when the guest has lit lights

	paint painter

	closing sync.Once
}

// Where the kernel has its devices.
const dri = "/dev/dri"

// Open takes the console and shows the machine on it. It has to be called by a process that may open devices for as long as the screen is shown: input devices come and go.
func Open(c Config) (*Screen, error) {
	s := newScreen(c)
	var err error
	if s.card, err = openCard(dri, s.wanted, s.open, s.cfg.Log); err != nil {
		return nil, err
	}
	t, err := vt.Open(c.Guard...)
	switch {
	case err == nil:
		s.terminal = t
	case !errors.Is(err, vt.ErrNone):
		s.card.Close()
		return nil, fmt.Errorf("take the console: %w", err)
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newScreen(c Config) *Screen {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Screen{
		cfg: c, open: openKernel, wanted: parseWanted(c.Output), done: make(chan struct{}), flipped: make(chan struct{}, 4), plugged: make(chan struct{}, 1), lights: make(chan struct{}, 1),
	}
	s.hands.s = s
	return s
}

// start takes input devices and begins to paint.
func (s *Screen) start() error {
	in, err := evdev.Open(evdev.Config{Attach: s.attach, Log: s.cfg.Log})
	switch {
	case err == nil:
		s.devices = in
		if len(in.Names()) == 0 {
			s.cfg.Log.Warn("there is no keyboard and no pointer that this user may open (group input)")
		}
	case errors.Is(err, os.ErrNotExist): // none yet, and none to come
		s.cfg.Log.Warn("there are no input devices", "error", err)
	default:
		return err
	}
	if u, err := openUevents(); err == nil {
		s.uevents = u
	} else {
		s.cfg.Log.Warn("monitors that come and go are not noticed", "error", err)
	}
	s.run()
	return nil
}

// run starts the goroutines.
func (s *Screen) run() {
	stop := s.cfg.Machine.Input.WatchLEDs(func(input.LEDs) {
		select {
		case s.lights <- struct{}{}:
		default:
		}
	})
	s.running.Go(func() {
		defer stop()
		s.light()
	})
	s.listen(s.card.kernel)
	if s.uevents != nil {
		s.running.Go(func() {
			defer guard.Panic(s.cfg.Log, "uevents")
			s.readUevents()
		})
	}
	s.painting.Go(func() {
		defer s.lost()
		defer guard.Panic(s.cfg.Log, "screen painter")
		s.paintAll()
	})
}

// lost tells that nothing is shown any more, unless that is wanted.
func (s *Screen) lost() {
	select {
	case <-s.done:
	default:
		s.cfg.Log.Error("the console is lost")
		if s.cfg.Closed != nil {
			s.cfg.Closed()
		}
	}
}

// light lights the keyboards' lights as the guest does.
func (s *Screen) light() {
	for {
		if s.devices != nil {
			s.devices.SetLEDs(s.cfg.Machine.Input.LEDs())
		}
		select {
		case <-s.lights:
		case <-s.done:
			return
		}
	}
}

// listen waits for flips of a card, until it is closed.
func (s *Screen) listen(k kernel) {
	s.running.Go(func() {
		defer guard.Panic(s.cfg.Log, "card events")
		s.readCard(k)
	})
}

func (s *Screen) readCard(k kernel) {
	buf := make([]byte, 4096) // the kernel gives whole events
	for {
		n, err := k.Read(buf)
		if err != nil {
			return
		}
		for range flips(buf[:n]) {
			select {
			case s.flipped <- struct{}{}:
			default:
			}
		}
	}
}

// readUevents waits for monitors.
func (s *Screen) readUevents() {
	buf := make([]byte, maxUevent)
	for {
		n, err := s.uevents.Read(buf)
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
			return
		}
		if err == nil && !hotplug(buf[:n]) {
			continue
		}
		select { // also where the kernel says that it could not say everything
		case s.plugged <- struct{}{}:
		default:
		}
	}
}

// Close gives the console back.
func (s *Screen) Close() (err error) {
	s.closing.Do(func() {
		close(s.done)
		if s.devices != nil {
			err = s.devices.Close()
		}
		if s.uevents != nil {
			s.uevents.Close()
		}
		s.painting.Wait()
		// Its reader ends when the card is closed.
		err = errors.Join(err, s.card.Close())
		s.running.Wait()
		if s.terminal != nil {
			err = errors.Join(err, s.terminal.Close())
		}
	})
	return err
}

// patience is how long a card may take for a flip.
const patience = time.Second

// place is where on the screen the picture is, and how large the screen is.
type place struct {
	screen  image.Point
	picture image.Rectangle
}
