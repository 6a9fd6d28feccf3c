package link

import (
	"encoding/binary"
	"fmt"
	"image"
	"net"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/input"
)

// maxText bounds what a machine says of its state, in bytes.
const maxText = 200

// Remote is a machine in another process. Its methods may be called from any goroutine, and none waits for the machine.
type Remote struct {
	Surface *display.Surface
	c       *conn
	done    chan struct{}

	mu      sync.Mutex // guards the following
	wake    *sync.Cond // of the goroutine that sends
	queue   []outgoing
	closed  bool
	state   State
	text    string
	leds    input.LEDs
	changed func()
	copied  func(text string) // nil for nobody
	err     error             // why the link has ended
}

// outgoing is a message to the machine.
type outgoing struct {
	kind kind
	body []byte
}

// maxQueue bounds the messages that wait for a machine that does not read. What was typed and pointed at is left out then, and of everything else what was said before it was
// said anew.
const maxQueue = 4096

// Connect begins to show the machine at the other end of u. changed is called when its state or its lights have changed; it must not block.
func Connect(u *net.UnixConn, changed func()) *Remote {
	r := &Remote{Surface: display.NewSurface(), c: newConn(u), done: make(chan struct{}), changed: changed}
	r.wake = sync.NewCond(&r.mu)
	r.Surface.Attach(source{r})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r.send()
	}()
	go func() {
		err := r.listen()
		r.c.close()
		r.c.free()
		r.mu.Lock()
		r.closed, r.state, r.err = true, Gone, err
		r.wake.Broadcast()
		r.mu.Unlock()
		<-sent
		r.Surface.Detach(source{r})
		close(r.done)
		r.changed()
	}()
	return r
}

// Done is closed when the machine's process has gone, or was dropped.
func (r *Remote) Done() <-chan struct{} { return r.done }

// Err says why the link has ended, after Done.
func (r *Remote) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close drops the machine.
func (r *Remote) Close() {
	r.c.close()
	<-r.done
}

// State says how the machine is, and what it says of that.
func (r *Remote) State() (State, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.text
}

// LEDs are the lights that the guest has lit.
func (r *Remote) LEDs() input.LEDs {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leds
}

// Events hands the machine what the user did.
func (r *Remote) Events(events []input.Event) {
	p := make([]byte, 0, eventSize*len(events))
	for _, e := range events {
		p = binary.LittleEndian.AppendUint16(p, uint16(e.Type))
		p = binary.LittleEndian.AppendUint16(p, uint16(e.Code))
		p = binary.LittleEndian.AppendUint32(p, uint32(e.Value))
	}
	r.post(kindEvents, p)
}

// Release lets go of all keys and buttons.
func (r *Remote) Release() { r.post(kindRelease, nil) }

// Focus says whether the machine is in front.
func (r *Remote) Focus(on bool) { r.post(kindFocus, flagOf(on)) }

// Power does something to the machine's power.
func (r *Remote) Power(p Power) { r.post(kindPower, []byte{byte(p)}) }

// post puts a message into the queue.
func (r *Remote) post(k kind, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if len(r.queue) >= maxQueue {
		r.queue = latest(r.queue)
	}
	r.queue = append(r.queue, outgoing{k, body})
	r.wake.Signal()
}

// latest is what still counts of messages that nobody has read for long: no event, all keys up, and the last of each other kind.
func latest(queue []outgoing) []outgoing {
	var list []outgoing
	for _, m := range slices.Backward(queue) {
		if m.kind != kindEvents && m.kind != kindRelease && !slices.ContainsFunc(list, func(o outgoing) bool { return o.kind == m.kind }) {
			list = append(list, m)
		}
	}
	list = append(list, outgoing{kind: kindRelease})
	slices.Reverse(list)
	return list
}

// send sends what is queued until the end.
func (r *Remote) send() {
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.closed {
			r.wake.Wait()
		}
		list := r.queue
		r.queue = nil
		closed := r.closed
		r.mu.Unlock()
		if closed {
			return
		}
		for _, m := range list {
			if r.c.send(m.kind, -1, m.body) != nil {
				r.c.close()
				break
			}
		}
	}
}

// listen takes what the machine says until it goes.
func (r *Remote) listen() error {
	for {
		k, p, err := r.c.receive()
		if err != nil {
			return err
		}
		if err := r.take(k, p); err != nil {
			return err
		}
	}
}

func (r *Remote) take(k kind, p []byte) error {
	switch k {
	case kindShow:
		return r.show(p)
	case kindOff:
		r.Surface.Off()
	case kindDamage:
		for ; len(p) > 0; p = p[16:] {
			n, err := numbers(p, 4)
			if err != nil {
				return err
			}
			r.Surface.Damage(image.Rect(n[0], n[1], n[2], n[3]))
		}
	case kindCursor:
		n, err := numbers(p, 4)
		if err != nil {
			return err
		}
		c := display.CursorImage{Width: n[0], Height: n[1], Hot: image.Pt(n[2], n[3]), Pixels: append([]byte(nil), p[16:]...)}
		if err := c.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		r.Surface.SetCursor(c)
	case kindPlace:
		n, err := numbers(p, 2)
		if err != nil {
			return err
		}
		r.Surface.MoveCursor(point(n))
	case kindCopied:
		return r.takeCopied(p)
	case kindLEDs, kindState:
		return r.status(k, p)
	default:
		return fmt.Errorf("%w: message %d", ErrProtocol, k)
	}
	return nil
}

func (r *Remote) show(p []byte) error {
	fd, err := r.c.file()
	if err != nil {
		return err
	}
	n, err := numbers(p, 5)
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	m, err := display.MapMemory(fd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	defer m.Release()
	g := display.Geometry{Width: n[0], Height: n[1], Stride: n[2], Offset: n[3], Format: display.Format(n[4])}
	if n[4] < 0 || n[4] > 255 {
		return fmt.Errorf("%w: pixel format %d", ErrProtocol, n[4])
	}
	if err := r.Surface.Show(m, g); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

func (r *Remote) status(k kind, p []byte) error {
	if len(p) == 0 || k == kindState && (p[0] >= byte(states) || len(p) > maxText || !utf8.Valid(p[1:])) {
		return fmt.Errorf("%w: a state of %d bytes", ErrProtocol, len(p))
	}
	r.mu.Lock()
	if k == kindLEDs {
		r.leds = input.LEDs(p[0])
	} else {
		r.state, r.text = State(p[0]), strings.ToValidUTF8(string(p[1:]), "")
	}
	r.mu.Unlock()
	r.changed()
	return nil
}

// source is the machine as what draws on the surface.
type source struct{ r *Remote }

func (s source) Watched(on bool)       { s.r.post(kindWatch, flagOf(on)) }
func (s source) Refresh()              {}
func (s source) Polled() bool          { return false }
func (s source) Wish(size image.Point) { s.r.post(kindWish, words(size.X, size.Y)) }
