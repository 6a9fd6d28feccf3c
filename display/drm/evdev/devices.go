package evdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/guard"
)

// Config says where devices are and who gets what users do with them.
type Config struct {
	Dir    string // "" stands for /dev/input
	Attach func(name string) Handler
	Log    *slog.Logger // nil is silent

	open func(path string) (node, error) // nil stands for the kernel's devices
}

// maxDevices bounds how many devices are taken: a hub full of them is a fault, or an attack.
const maxDevices = 64

// Devices are the host's keyboards and pointers.
type Devices struct {
	cfg     Config
	inotify *os.File
	watch   sync.WaitGroup

	mu     sync.Mutex // guards the following
	taken  map[string]*taken
	active bool
	lights input.LEDs
	closed bool
}

// taken is a device that is ours.
type taken struct {
	node
	name string
	mu   sync.Mutex // guards the following, and is held while the handler is called
	t    *translator
	// active says that events count; grabbed, that nobody else gets them. A device is grabbed when no key is down: others would never hear that it came up.
	active, grabbed bool
}

// Open takes all devices that there are, and those that come later. They are not active yet. Devices that may not be opened are logged, and left; that
// there are none at all is no error.
func Open(c Config) (*Devices, error) {
	if c.Dir == "" {
		c.Dir = "/dev/input"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.open == nil {
		c.open = openNode
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", c.Dir, err)
	}
	d := &Devices{cfg: c, inotify: os.NewFile(uintptr(fd), "inotify"), taken: map[string]*taken{}}
	// A device's file is there before udev has given it its group: that shows as a change of its attributes.
	if _, err := unix.InotifyAddWatch(fd, c.Dir, unix.IN_CREATE|unix.IN_ATTRIB|unix.IN_MOVED_TO); err != nil {
		d.inotify.Close()
		return nil, fmt.Errorf("watch %s: %w", c.Dir, err)
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		d.inotify.Close()
		return nil, err
	}
	for _, e := range entries {
		d.look(e.Name(), slog.LevelWarn)
	}
	d.watch.Go(func() {
		defer guard.Panic(c.Log, "input devices")
		d.await()
	})
	return d, nil
}

// Names are those of the devices that were taken.
func (d *Devices) Names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.taken {
		names = append(names, t.name)
	}
	slices.Sort(names)
	return names
}

// await looks at devices that come.
func (d *Devices) await() {
	buf := make([]byte, 4096)
	for {
		n, err := d.inotify.Read(buf)
		if err != nil {
			return
		}
		for _, name := range inotifyNames(buf[:n]) {
			d.look(name, slog.LevelInfo)
		}
	}
}

// inotifyNames are the names in what inotify(7) gives.
func inotifyNames(p []byte) (names []string) {
	const head = unix.SizeofInotifyEvent
	for len(p) >= head {
		n := int(min(binary.LittleEndian.Uint32(p[12:]), uint32(len(p)-head)))
		names = append(names, strings.TrimRight(string(p[head:head+n]), "\x00"))
		p = p[head+n:]
	}
	return names
}

// look takes a device if it is one for us.
func (d *Devices) look(name string, missing slog.Level) {
	if !strings.HasPrefix(name, "event") || strings.ContainsRune(name, '/') {
		return
	}
	path := filepath.Join(d.cfg.Dir, name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.taken[path] != nil {
		return
	}
	if len(d.taken) == maxDevices {
		d.cfg.Log.Warn("too many input devices: this one is left", "device", path)
		return
	}
	n, err := d.cfg.open(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoDevice) {
			d.cfg.Log.Log(context.Background(), missing, "an input device cannot be used", "error", err)
		}
		return
	}
	label, c, err := n.describe()
	k := c.classify()
	if err != nil || k == other {
		d.cfg.Log.Debug("input device left alone", "device", path, "name", label, "error", err)
		n.Close()
		return
	}
	d.cfg.Log.Info("input device", "device", path, "name", label, "kind", k.String())
	t := &taken{node: n, name: label}
	t.t = newTranslator(k, c, d.cfg.Attach(label))
	d.taken[path] = t
	t.set(d.active, d.cfg.Log)
	t.light(d.lights)
	d.watch.Go(func() {
		defer d.drop(path)
		defer guard.Panic(d.cfg.Log, "input device "+label)
		t.read(d.cfg.Log)
	})
}

// drop ends a device that is gone.
func (d *Devices) drop(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.taken[path]; t != nil {
		delete(d.taken, path)
		t.end()
	}
}

// end closes the device and lets go of all keys.
func (t *taken) end() {
	t.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active = false
	t.t.out.Release()
}

// read passes on what users do until the device is gone.
func (t *taken) read(log *slog.Logger) {
	buf := make([]byte, 64*eventSize)
	for {
		n, err := t.Read(buf)
		if err != nil {
			return
		}
		t.take(buf[:n], log)
	}
}

func (t *taken) take(p []byte, log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return
	}
	if t.t.feed(p) {
		if state, err := t.down(); err == nil {
			t.t.sync(state)
		} else {
			t.t.out.Release()
		}
	}
	t.tryGrab(log)
}

// tryGrab grabs a device unless a key is down. The caller holds mu.
func (t *taken) tryGrab(log *slog.Logger) {
	if t.grabbed || !t.active {
		return
	}
	state, err := t.down()
	if err != nil || slices.ContainsFunc(state, func(b byte) bool { return b != 0 }) {
		return
	}
	if err := t.grab(true); err != nil {
		log.Warn("an input device is another program's as well", "name", t.name, "error", err)
	}
	t.grabbed = true
}

// set says whether events count.
func (t *taken) set(active bool, log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active == active {
		return
	}
	t.active = active
	if active {
		t.tryGrab(log)
		return
	}
	if t.grabbed {
		_ = t.grab(false) // of a device that is just being unplugged it fails
		t.grabbed = false
	}
	t.t.forget()
	t.t.out.Release()
}

// light lights a keyboard's lights.
func (t *taken) light(l input.LEDs) {
	if t.t.kind != keyboard {
		return
	}
	const lights = 3
	var p [(lights + 1) * eventSize]byte
	for i := range lights {
		e := p[i*eventSize+16:]
		binary.LittleEndian.PutUint16(e, evLED)
		binary.LittleEndian.PutUint16(e[2:], uint16(i))
		binary.LittleEndian.PutUint32(e[4:], uint32(l>>i)&1)
	}
	_, _ = t.Write(p[:]) // a keyboard without lights, or one that may only be read, stays dark
}

// SetActive says whether what users do counts. Devices that do not are given back to the host, and no handler is called when SetActive(false) has returned.
func (d *Devices) SetActive(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = on
	for _, t := range d.taken {
		t.set(on, d.cfg.Log)
		if on {
			t.light(d.lights)
		}
	}
}

// SetLEDs lights the lights of all keyboards.
func (d *Devices) SetLEDs(l input.LEDs) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lights = l
	if !d.active {
		return
	}
	for _, t := range d.taken {
		t.light(l)
	}
}

// Close gives all devices back and lets go of all keys.
func (d *Devices) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.inotify.Close()
	for _, t := range d.taken {
		t.end()
	}
	clear(d.taken)
	d.mu.Unlock()
	d.watch.Wait()
	return nil
}
