package drm

import (
	"fmt"
	"image"
	"io"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeCard is a card in a test, as the kernel has it.
type fakeCard struct {
	mu sync.Mutex // guards the following

	driver     string
	modes      []modeInfo
	plugged    bool
	edid       []byte
	growing    int  // how often lists grow while they are asked for
	busy       bool // somebody else is the master
	late       bool // it was opened while somebody else was the master
	noFlips    bool
	noDirty    bool
	noCursor   bool
	cursorSize uint64
	dumbPitch  uint32 // lies about pitch

	master   bool
	buffers  map[uint32]*fakeBuffer
	fbs      map[uint32]uint32 // framebuffer to buffer
	next     uint32
	shown    uint32 // framebuffer
	mode     modeInfo
	off      []uint32 // CRTCs that were switched off
	dirtied  []clip
	cursor   cursorInfo
	hidden   bool
	flips    int
	events   chan []byte
	closed   bool
	requests map[uint32]int
}

type fakeBuffer struct {
	w, h, pitch int
	mem         []byte
	seen        []byte // of it, by whoever looks at the screen
	mapped      bool
}

const (
	theCRTC, otherCRTC, theConnector, deadConnector, theEncoder, edidProp, edidBlob = 40, 41, 50, 51, 60, 70, 80
)

func newFakeCard(sizes ...image.Point) *fakeCard {
	f := &fakeCard{driver: "i915", plugged: true, cursorSize: 64, buffers: map[uint32]*fakeBuffer{}, fbs: map[uint32]uint32{}, next: 100, events: make(chan []byte, 16), requests: map[uint32]int{}}
	for i, s := range sizes {
		m := modeInfo{Width: uint16(s.X), Height: uint16(s.Y), Refresh: 60}
		if i == 0 {
			m.Type = modePreferred
		}
		f.modes = append(f.modes, m)
	}
	return f
}

func (f *fakeCard) Read(p []byte) (int, error) {
	e, ok := <-f.events
	if !ok {
		return 0, io.EOF
	}
	return copy(p, e), nil
}

func (f *fakeCard) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.events)
	}
	return nil
}

func (f *fakeCard) mmap(offset int64, size int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.buffers[uint32(offset>>12)]
	if b == nil || size != len(b.mem) {
		return nil, unix.EINVAL
	}
	b.mapped = true
	return b.mem, nil
}

func (f *fakeCard) munmap(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.buffers {
		if &b.mem[0] == &p[0] {
			b.mapped = false
			return nil
		}
	}
	return unix.EINVAL
}

// fill writes a list where the request has room for all of it, as the kernel does.
func fill[T any](at uint64, room *uint32, list []T) {
	if int(*room) >= len(list) && len(list) > 0 && at != 0 {
		p := at
		copy(unsafe.Slice(*(**T)(unsafe.Pointer(&p)), len(list)), list)
	}
	*room = uint32(len(list))
}

func (f *fakeCard) ioctl(req uint32, arg unsafe.Pointer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return unix.EBADF
	}
	nr := req & 0xff
	f.requests[nr]++
	switch nr {
	case nrVersion:
		v := (*version)(arg)
		p := v.Name
		copy(unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), v.NameLen), f.driver)
		v.NameLen = uint64(len(f.driver))
	case nrGetCap:
		c := (*capability)(arg)
		c.Value = map[uint64]uint64{capDumb: 1, capCursorWidth: f.cursorSize, capCursorHeight: f.cursorSize}[c.Capability]
	case nrSetMaster:
		if f.busy {
			return unix.EBUSY
		}
		if f.late {
			return unix.EACCES
		}
		f.master = true
	case nrDropMaster:
		f.master = false
	case nrGetResources:
		r := (*resources)(arg)
		crtcs, connectors := []uint32{otherCRTC, theCRTC}, []uint32{deadConnector, theConnector}
		if r.CRTCs != 0 && f.growing > 0 {
			f.growing--
			crtcs = append(crtcs, 42, 43, 44)
		}
		fill(r.CRTCs, &r.CountCRTCs, crtcs)
		fill(r.Connectors, &r.CountConnectors, connectors)
	case nrGetConnector:
		c := (*connectorInfo)(arg)
		c.Kind, c.KindID, c.Connection, c.Encoder = 11, c.ID-deadConnector+1, 2, 0
		var modes []modeInfo
		if c.ID == theConnector && f.plugged {
			c.Connection, modes = connected, f.modes
		}
		c.KindID = c.ID - 49
		fill(c.Modes, &c.CountModes, modes)
		fill(c.Encoders, &c.CountEncoders, []uint32{theEncoder})
		n := c.CountProps
		fill(c.Props, &n, []uint32{edidProp})
		fill(c.PropValues, &c.CountProps, []uint64{edidBlob})
	case nrGetEncoder:
		e := (*encoderInfo)(arg)
		e.PossibleCRTCs = 2
	case nrGetProperty:
		copy((*propertyInfo)(arg).Name[:], "EDID")
	case nrGetBlob:
		b := (*blobInfo)(arg)
		fill(b.Data, &b.Length, f.edid)
	case nrSetCRTC:
		c := (*crtcInfo)(arg)
		switch {
		case !f.master:
			return unix.EACCES
		case c.Valid == 0:
			f.off = append(f.off, c.ID)
		case f.fbs[c.FB] == 0 || c.ID != theCRTC:
			return unix.EINVAL
		default:
			f.shown, f.mode = c.FB, c.Mode
			f.look()
		}
	case nrCreateDumb:
		d := (*dumbInfo)(arg)
		d.Pitch = max((d.Width*4+63)&^63, f.dumbPitch)
		if f.dumbPitch == 1 {
			d.Pitch = 1
		}
		d.Size = uint64(max(d.Pitch, d.Width*4)) * uint64(d.Height)
		f.next++
		d.Handle = f.next
		f.buffers[f.next] = &fakeBuffer{w: int(d.Width), h: int(d.Height), pitch: int(d.Pitch), mem: make([]byte, d.Size)}
	case nrMapDumb:
		m := (*mapInfo)(arg)
		m.Offset = uint64(m.Handle) << 12
	case nrDestroyDumb:
		h := *(*uint32)(arg)
		if f.buffers[h] == nil || f.buffers[h].mapped {
			return fmt.Errorf("destroy %d: %w", h, unix.EINVAL)
		}
		delete(f.buffers, h)
	case nrAddFB:
		b := (*fbInfo)(arg)
		f.next++
		b.ID = f.next
		f.fbs[b.ID] = b.Handle
	case nrRemoveFB:
		delete(f.fbs, *(*uint32)(arg))
	case nrPageFlip:
		p := (*flipInfo)(arg)
		switch {
		case !f.master:
			return unix.EACCES
		case f.noFlips || f.fbs[p.FB] == 0:
			return unix.EINVAL
		}
		f.shown = p.FB
		f.look()
		f.flips++
		e := make([]byte, 32)
		e[0], e[4] = eventFlip, 32
		f.events <- e
	case nrDirtyFB:
		if f.noDirty {
			return unix.ENOSYS
		}
		f.look()
		d := (*dirtyInfo)(arg)
		p := d.Clips
		f.dirtied = append(f.dirtied, unsafe.Slice(*(**clip)(unsafe.Pointer(&p)), d.Count)...)
	case nrCursor2:
		c := (*cursorInfo)(arg)
		switch {
		case f.noCursor:
			return unix.ENXIO
		case c.Flags&cursorShape != 0 && c.Handle == 0:
			f.hidden = true
		case c.Flags&cursorShape != 0:
			f.hidden = false
			f.cursor.Handle, f.cursor.HotX, f.cursor.HotY = c.Handle, c.HotX, c.HotY
		default:
			f.cursor.X, f.cursor.Y = c.X, c.Y
		}
	default:
		return unix.ENOTTY
	}
	return nil
}

// pixel is what the screen shows at a place, 0xRRGGBB; -1 where it shows nothing.
func (f *fakeCard) pixel(x, y int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.buffers[f.fbs[f.shown]]
	if b == nil || x >= b.w || y >= b.h {
		return -1
	}
	at := y*b.pitch + 4*x
	return int(b.seen[at]) | int(b.seen[at+1])<<8 | int(b.seen[at+2])<<16
}

// look takes what is in the buffer that is shown now, when its drawer says that it is drawn.
func (f *fakeCard) look() {
	if b := f.buffers[f.fbs[f.shown]]; b != nil {
		b.seen = append(b.seen[:0], b.mem...)
	}
}

func (f *fakeCard) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeCard) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.buffers) + len(f.fbs)
}

// TestSizes holds the structures to what the kernel's headers say on a 64-bit machine.
func TestSizes(t *testing.T) {
	for _, s := range []struct {
		name      string
		got, want uintptr
	}{
		{"version", unsafe.Sizeof(version{}), 64}, {"mode", unsafe.Sizeof(modeInfo{}), 68}, {"resources", unsafe.Sizeof(resources{}), 64},
		{"connector", unsafe.Sizeof(connectorInfo{}), 80}, {"encoder", unsafe.Sizeof(encoderInfo{}), 20}, {"property", unsafe.Sizeof(propertyInfo{}), 64},
		{"blob", unsafe.Sizeof(blobInfo{}), 16}, {"crtc", unsafe.Sizeof(crtcInfo{}), 104}, {"dumb", unsafe.Sizeof(dumbInfo{}), 32}, {"map", unsafe.Sizeof(mapInfo{}), 16},
		{"fb", unsafe.Sizeof(fbInfo{}), 28}, {"flip", unsafe.Sizeof(flipInfo{}), 24}, {"dirty", unsafe.Sizeof(dirtyInfo{}), 24}, {"cursor", unsafe.Sizeof(cursorInfo{}), 36},
	} {
		if s.got != s.want {
			t.Errorf("%s has %d bytes, not %d", s.name, s.got, s.want)
		}
	}
	if got := request(nrSetMaster, 0); got != 0x641e {
		t.Errorf("%#x", got)
	}
	if got := request(nrPageFlip, 24); got != 0xc01864b0 {
		t.Errorf("%#x", got)
	}
}
