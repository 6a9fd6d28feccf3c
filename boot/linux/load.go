package linux

import (
	"math"

	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/vmm/memory"
)

// Load puts the bzImage, the initrd, the command line and boot_params into mem and returns the state that starts the kernel.
func Load(mem *memory.Guest, l layout.Layout, p *payload.Payload) (entry.State, error) {
	h, err := ReadHeader(p.Kernel)
	if err != nil {
		return entry.State{}, err
	}
	kernel, err := place(l, h, p.Kernel)
	if err != nil {
		return entry.State{}, err
	}
	if err := p.PlaceCmdline(mem, h.CmdlineMax); err != nil {
		return entry.State{}, err
	}
	if err := p.Kernel.ReadInto(mem, kernel.Base, h.KernelOffset, h.KernelSize); err != nil {
		return entry.State{}, err
	}
	initrd, err := p.PlaceInitrd(mem, kernel.End(), min(l.Low.End(), h.InitrdMax+1))
	if err != nil {
		return entry.State{}, err
	}
	page, err := zeroPage(h, p, initrd)
	if err != nil {
		return entry.State{}, err
	}
	if err := mem.Write(layout.ZeroPage, page); err != nil {
		return entry.State{}, err
	}
	return entry.Prepare64(mem, kernel.Base+entry64, layout.ZeroPage)
}

// place returns the memory that the kernel is loaded to and needs until it manages memory itself. A relocatable kernel would
// move itself up to its preferred address if loaded below, so that is where it goes.
func place(l layout.Layout, h *Header, f payload.File) (layout.Window, error) {
	free := layout.Window{Base: layout.HighMemory, Size: l.Low.End() - layout.HighMemory}
	w := layout.Window{Base: h.PrefAddress, Size: max(h.InitSize, h.KernelSize)}
	if h.Relocatable {
		w.Base = max(w.Base, layout.HighMemory)
		if w.Base > math.MaxUint32 {
			return w, f.Fail(payload.ErrNoRoom, "the kernel wants to run at %#x, above 4 GiB", w.Base)
		}
		w.Base = (w.Base + h.Alignment - 1) &^ (h.Alignment - 1)
	}
	if !free.Contains(w.Base, w.Size) {
		return w, f.Fail(payload.ErrNoRoom, "the kernel needs %d MiB at %#x, RAM there ends at %#x", (w.Size+layout.MiB-1)/layout.MiB, w.Base, l.Low.End())
	}
	return w, nil
}
