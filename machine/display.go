package machine

import (
	"fmt"
	"io"
	"math/bits"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/vga"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/virtio/gpu"
	"github.com/sharevm/vmm/vmm"
)

// slotVGA is where the VGA sits, as on other boards of this shape; VMware has nothing there that a file could name.
const slotVGA config.PCISlot = 1

// newScreens makes the surfaces that the machine's graphics card shows its pictures on. They outlive power cycles.
func newScreens(c *config.Machine) (all []*display.Surface) {
	n := 0
	switch c.DisplayAdapter() {
	case config.DisplayVGA:
		n = 1
	case config.DisplayVirtio:
		n = c.Display.Heads
	}
	for range n {
		all = append(all, display.NewSurface())
	}
	return all
}

// Screens are what the machine shows, none for a machine without a graphics card.
func (m *Machine) Screens() []*display.Surface { return m.screens }

// Screenshot writes what a screen shows as a PNG.
func (m *Machine) Screenshot(screen int, w io.Writer) error {
	switch {
	case len(m.screens) == 0:
		return fmt.Errorf("the machine has no graphics card (vmm.display in its .vmx)")
	case screen < 0 || screen >= len(m.screens):
		return fmt.Errorf("there is no screen %d, but 0 to %d", screen, len(m.screens)-1)
	}
	return display.Snapshot(m.screens[screen], w)
}

// videoHoles are the addresses that a VGA decodes in front of RAM.
func (b *board) videoHoles() []vmm.Range {
	if b.m.cfg.DisplayAdapter() != config.DisplayVGA {
		return nil
	}
	return []vmm.Range{{Base: vga.WindowBase, Size: vga.WindowSize}}
}

// addDisplay plugs the graphics card.
func (b *board) addDisplay() error {
	switch b.m.cfg.DisplayAdapter() {
	case config.DisplayVGA:
		return b.addVGA()
	case config.DisplayVirtio:
		return b.addVirtioGPU()
	}
	return nil
}

// videoMemory is how much of it a VGA gets: a power of two.
func videoMemory(want int64) int {
	n := min(max(want, vga.MinVRAM), vga.MaxVRAM)
	return 1 << bits.Len64(uint64(n-1))
}

func (b *board) addVGA() error {
	cfg := &b.m.cfg.Display
	mem, err := display.NewMemory("vram", videoMemory(cfg.VRAM))
	if err != nil {
		return err
	}
	defer mem.Release()
	guest, err := b.vm.NewDeviceMemory(mem.Bytes())
	if err != nil {
		return err
	}
	card, err := vga.New(vga.Config{Surface: b.m.screens[0], Memory: mem, Guest: guest, Width: cfg.Width, Height: cfg.Height, Log: b.m.log})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, card)
	for _, p := range card.Ports() {
		if err := b.vm.Ports.Map(p.Base, p.Size, p.Device); err != nil {
			return err
		}
	}
	if err := b.vm.MMIO.Map(layout.VideoRAM, vga.WindowSize, card.Window()); err != nil {
		return err
	}
	return b.plugFunction(slotVGA, "VGA", card.Function(), card)
}

func (b *board) addVirtioGPU() error {
	cfg := &b.m.cfg.Display
	card, err := gpu.New(gpu.Config{Screens: b.m.screens, Width: cfg.Width, Height: cfg.Height})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, card)
	return b.plug("graphics card", card)
}
