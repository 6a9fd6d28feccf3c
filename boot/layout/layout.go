package layout

import "fmt"

// Bounds of RAM in bytes. The top is where AMD's HyperTransport region begins, which no RAM or BAR may touch.
const (
	MinRAM      = 2 * MiB
	addressTop  = 0xFD_0000_0000
	mmio64Align = GiB
	mmio64Max   = 64 * GiB
)

// Window is a range of guest-physical addresses.
type Window struct {
	Base, Size uint64 // bytes
}

// End is the first address after the window.
func (w Window) End() uint64 { return w.Base + w.Size }

// Contains says whether [base, base+size) lies inside the window.
func (w Window) Contains(base, size uint64) bool {
	return base >= w.Base && size <= w.Size && base-w.Base <= w.Size-size
}

// Layout is the address map of a board with a certain amount of RAM.
type Layout struct {
	RAM    uint64 // bytes in Low and High together
	Low    Window // RAM from address zero, the legacy hole at 640 KiB included
	High   Window // RAM from 4 GiB; its size is zero where Low holds everything
	ECAM   Window
	MMIO32 Window // for 32-bit BARs
	MMIO64 Window // for 64-bit BARs, above all RAM; its size is zero where the guest's addresses are too narrow
	Ports  Window // I/O ports for BARs
}

// New computes the map for ram bytes of RAM and a guest whose CPUs have physBits (CPUID 0x80000008) of physical address.
func New(ram uint64, physBits int) (Layout, error) {
	if ram < MinRAM || ram%PageSize != 0 {
		return Layout{}, fmt.Errorf("memory size %d: must be a multiple of 4 KiB and at least 2 MiB", ram)
	}
	if physBits < 32 || physBits > 52 {
		return Layout{}, fmt.Errorf("%d physical address bits: must be 32 to 52", physBits)
	}
	top := min(uint64(1)<<physBits, addressTop)
	l := Layout{
		RAM:    ram,
		Low:    Window{0, ram},
		High:   Window{firstFourGiB, 0},
		ECAM:   Window{ECAM, ECAMSize},
		MMIO32: Window{MMIO32, MMIO32End - MMIO32},
		Ports:  Window{PortPCIWindow, PortPCIWindowEnd - PortPCIWindow},
	}
	if ram >= lowRAMLimit {
		l.Low.Size = lowRAMIfSplit
		l.High.Size = ram - lowRAMIfSplit
		if l.High.Size > top || l.High.End() > top {
			return Layout{}, fmt.Errorf("memory size %d MiB: does not fit below %#x, where the guest's addresses end", ram/MiB, top)
		}
	}
	if base := (l.High.End() + mmio64Align - 1) &^ (mmio64Align - 1); base < top {
		l.MMIO64 = Window{base, min(top-base, mmio64Max)}
	}
	return l, nil
}

// RAMWindows returns the pieces of RAM in ascending order.
func (l Layout) RAMWindows() []Window {
	if l.High.Size == 0 {
		return []Window{l.Low}
	}
	return []Window{l.Low, l.High}
}
