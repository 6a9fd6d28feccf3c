package flash

import (
	"fmt"
	"log/slog"
	"sync"
)

// BlockSize is what is erased at once, in bytes.
const BlockSize = 4096

// Store keeps the contents beyond the machine's life.
type Store interface {
	WriteAt(p []byte, offset int64) (int, error)
	Sync() error
}

// Array is the memory in which the guest sees the contents while the chip answers with them.
type Array interface {
	Place(base uint64) error
	Remove() error
}

// Stores has the guest's stores to the chip collected: each of them is then delivered at the guest's next exit, or by Deliver, whichever comes first, and
// costs no exit of its own.
type Stores interface {
	Collect(on bool) error
	Deliver()
}

// Config is how a chip is wired into the board.
type Config struct {
	Base uint64 // guest-physical address
	// Contents are whole blocks. The chip changes them; nobody else does, and Array shows them.
	Contents []byte
	Array    Array  // nil without: each access of the guest then reaches the device
	Stores   Stores // nil: each store exits
	Store    Store  // nil forgets
	Log      *slog.Logger
}

// mode is what reads of the chip give.
type mode uint8

const (
	readArray mode = iota
	readStatus
	readID
	readCFI
	modes
)

// step is what the chip takes the next write as.
type step uint8

const (
	wantCommand step = iota
	wantData         // to program
	wantConfirm      // of an erasure
	wantCount        // of a buffer's bytes, less one
	wantBuffer       // a buffer's data
	wantProgram      // confirmation of a buffer
	wantLock         // what to do with a block's lock
	steps
)

// bufferSize is how much a buffered program takes at most, in bytes.
const bufferSize = 256

// Device is the chip. It is a bus.Device of as many bytes as it has contents, and a state.Device.
type Device struct {
	cfg  Config
	sync *writer

	gather gathering // of the guest's stores

	mu     sync.Mutex
	mode   mode
	step   step
	status uint8
	shown  bool // the guest sees the array
	failed bool // the store has failed, and that was logged

	// Buffered program: where it begins, how many bytes are still to come, and those that came with their offsets.
	block   uint64
	count   int
	pending []buffered

	// What was programmed and is not in the store yet.
	from, to uint64
}

type buffered struct {
	at uint64
	v  uint8
}

// New returns a chip that shows its array.
func New(c Config) (*Device, error) {
	if len(c.Contents) == 0 || len(c.Contents)%BlockSize != 0 || len(c.Contents) > 1<<24 {
		return nil, fmt.Errorf("a flash chip of %#x bytes", len(c.Contents))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{cfg: c, status: statusReady, sync: newWriter(c.Store, c.Log)}
	d.gather.init(d)
	return d, d.show(true)
}

// Size is the number of bytes that the chip decodes.
func (d *Device) Size() uint64 { return uint64(len(d.cfg.Contents)) }

// Close makes what the guest has written durable. The chip must not be used afterwards.
func (d *Device) Close() error {
	d.gather.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commit()
	return d.sync.wait()
}

// show shows the array to the guest or hides it.
func (d *Device) show(on bool) error {
	if d.shown == on || d.cfg.Array == nil {
		return nil
	}
	d.shown = on
	if on {
		return d.cfg.Array.Place(d.cfg.Base)
	}
	return d.cfg.Array.Remove()
}

// enter changes what reads give.
func (d *Device) enter(m mode) {
	d.mode = m
	if m != readArray {
		d.report(d.show(false))
		d.gather.begin()
	} else if !d.gather.on {
		d.report(d.show(true))
	}
}

func (d *Device) report(err error) {
	if err != nil {
		// Without the array reads go on as exits; with it they give the array whatever was asked for.
		d.cfg.Log.Error("flash: the array cannot be shown or hidden", "error", err)
	}
}
