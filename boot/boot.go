// Package boot fills a guest's memory before its first instruction, on boards that start a kernel without firmware.
//
// Load is the front door; the protocols are in linux and pvh, what they share in payload and entry. The tables that describe the
// board are in acpi and smbios, the address map in layout and e820.
package boot

import (
	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/linux"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/pvh"
	"github.com/sharevm/vmm/vmm/memory"
)

// headSize is enough of a file to tell the protocols apart.
const headSize = 0x206

// Load puts p into mem, laid out as l, by the protocol that the kernel's signature asks for: a bzImage by Linux's 64-bit protocol,
// an ELF file by PVH. The kernel is a file that the user named, so its own signature may choose.
//
// Errors about a file are payload.Errors.
func Load(mem *memory.Guest, l layout.Layout, p *payload.Payload) (entry.State, error) {
	head := make([]byte, max(0, min(headSize, p.Kernel.Size)))
	if err := p.Kernel.ReadAt(head, 0); err != nil {
		return entry.State{}, err
	}
	switch {
	case pvh.IsELF(head):
		return pvh.Load(mem, l, p)
	case linux.IsBzImage(head):
		return linux.Load(mem, l, p)
	case len(head) < headSize:
		return entry.State{}, p.Kernel.Fail(payload.ErrNotKernel, "the file has only %d bytes", len(head))
	}
	return entry.State{}, p.Kernel.Fail(payload.ErrNotKernel, "it is neither a Linux bzImage nor an ELF kernel")
}
