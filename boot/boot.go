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
	load, err := loader(p.Kernel)
	if err != nil {
		return entry.State{}, err
	}
	return load(mem, l, p)
}

// Recognise says whether a file's signature is that of a kernel that Load takes.
func Recognise(kernel payload.File) error {
	_, err := loader(kernel)
	return err
}

// loader chooses the protocol.
func loader(kernel payload.File) (func(*memory.Guest, layout.Layout, *payload.Payload) (entry.State, error), error) {
	head := make([]byte, max(0, min(headSize, kernel.Size)))
	if err := kernel.ReadAt(head, 0); err != nil {
		return nil, err
	}
	switch {
	case pvh.IsELF(head):
		return pvh.Load, nil
	case linux.IsBzImage(head):
		return linux.Load, nil
	case len(head) < headSize:
		return nil, kernel.Fail(payload.ErrNotKernel, "the file has only %d bytes", len(head))
	}
	return nil, kernel.Fail(payload.ErrNotKernel, "it is neither a Linux bzImage nor an ELF kernel")
}
