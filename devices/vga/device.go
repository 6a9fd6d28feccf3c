package vga

import (
	"errors"
	"fmt"
	"image"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/vmm/bus"
)

// Bounds of video memory in bytes, which has a power of two of them.
const (
	MinVRAM = 256 << 10
	MaxVRAM = 256 << 20
)

// Identity is what the card says it is.
var Identity = pci.Identity{Vendor: 0x1234, Device: 0x1111, SubsystemVendor: 0x1af4, Subsystem: 0x1100, Class: 0x030000, Revision: 2}

// VideoMemory shows the video memory to the guest and logs what the guest writes there.
type VideoMemory interface {
	pci.Memory
	// LogDirty switches the log on or off.
	LogDirty(on bool) error
	// Dirty fills a bitmap with a bit for each page of 4 KiB that may have changed since the last call; without a log these are all.
	Dirty(bitmap []uint64) error
}

// Config describes a card.
type Config struct {
	Surface *display.Surface
	// Memory is the video memory; the card becomes a holder of it. Guest is the same memory as the guest sees it.
	Memory *display.Memory
	Guest  VideoMemory
	// Width and Height are what the monitor likes best, in pixels; 0 is 1280 by 800.
	Width, Height int
	Log           *slog.Logger // nil is silent
}

// Device is a card.
type Device struct {
	function *pci.Function
	surface  *display.Surface
	memory   *display.Memory
	guest    VideoMemory
	log      *slog.Logger

	mu    sync.Mutex // guards the rest
	vram  []byte
	regs  registers
	dispi dispi
	latch [4]byte // what the last read of the window left in the graphics controller
	edid  [display.EDIDSize]byte

	// own are the pages that changed by accesses of this package; touched says that registers did.
	own     []uint64
	dirty   []uint64 // scratch of Refresh
	touched bool
	flood   flood
	canvas  canvas
	closed  bool
}

// New makes a card that shows nothing yet.
func New(c Config) (*Device, error) {
	size := len(c.Memory.Bytes())
	if size&(size-1) != 0 || size < MinVRAM || size > MaxVRAM {
		return nil, fmt.Errorf("vga: %d bytes of video memory: not a power of two of 256 KiB to 256 MiB", size)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{
		function: pci.NewFunction("VGA", Identity), surface: c.Surface, memory: c.Memory, guest: c.Guest, log: c.Log, vram: c.Memory.Bytes(),
		own: make([]uint64, bitmapWords(size)), dirty: make([]uint64, bitmapWords(size)),
	}
	d.powerOn()
	d.edid = display.EDID(d.monitor(c.Width, c.Height))
	d.function.UsesLegacyPorts()
	err := errors.Join(d.function.AddMemoryBAR(0, pci.Mem32, uint64(size), c.Guest), d.function.AddBAR(2, pci.Mem32, mmioSize, (*mmio)(d)))
	if err != nil {
		return nil, err
	}
	c.Memory.Hold()
	c.Surface.Attach(d)
	return d, nil
}

const pageSize = 4096

func bitmapWords(size int) int { return (size/pageSize + 63) / 64 }

// Function is the card's place on the PCI bus.
func (d *Device) Function() *pci.Function { return d.function }

// PortRange is a range of ports that the card answers.
type PortRange struct {
	Base, Size uint64
	Device     bus.Device
}

// Ports are the card's ports.
func (d *Device) Ports() []PortRange {
	return []PortRange{
		{0x3b0, 12, &vgaPorts{d, 0x3b0}}, // what follows is a parallel port
		{0x3c0, 32, &vgaPorts{d, 0x3c0}},
		{0x1ce, 4, (*dispiPorts)(d)},
	}
}

// The window of the VGA among the guest's addresses.
const (
	WindowBase = 0xa0000
	WindowSize = 0x20000
)

// Window answers the guest's accesses to WindowBase.
func (d *Device) Window() bus.Device { return (*window)(d) }

// Close ends the card. Its accesses must have ended.
func (d *Device) Close() error {
	d.surface.Detach(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.canvas.drop()
	d.memory.Release()
	d.vram = nil
	return nil
}

// monitor returns the size that the monitor is to like best: the wish, cut to what video memory holds.
func (d *Device) monitor(width, height int) (int, int) {
	if width <= 0 || height <= 0 {
		width, height = 1280, 800
	}
	width = min(max(width&^7, 64), maxWidth)
	for width > 640 && 4*width*min(height, 480) > len(d.vram) {
		width -= 8
	}
	return width, max(min(height, maxHeight, len(d.vram)/(4*width)), 64)
}

// Wish implements display.Source: the guest sees another monitor when it looks next.
func (d *Device) Wish(size image.Point) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.edid = display.EDID(d.monitor(size.X, size.Y))
}
