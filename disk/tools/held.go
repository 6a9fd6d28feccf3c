package tools

import (
	"slices"

	"github.com/sharevm/vmm/disk"
)

// Held are the host's files, of which some are locked for writing from Lock to Close: whoever else opens these in between is refused, and Held itself opens them as it likes. It lets
// several steps that each open an image have it to themselves without a moment in between. The zero Held holds nothing.
type Held struct {
	hostFolders
	files []disk.File
}

// Lock keeps a file from others. It errs with disk.ErrLocked if another uses it already. An image is kept by the file that it is opened by.
func (h *Held) Lock(path string) error {
	f, err := h.hostFolders.Open(path, disk.FileOptions{Write: true})
	if err != nil {
		return err
	}
	h.files = append(h.files, f)
	return nil
}

// Open implements [disk.Files].
func (h *Held) Open(path string, o disk.FileOptions) (disk.File, error) {
	if !o.Create {
		at := o.Place(path)
		o.Shared = o.Shared || slices.ContainsFunc(h.files, func(f disk.File) bool { return samePath(f.Name(), at) })
	}
	return h.hostFolders.Open(path, o)
}

// Close lets others have the files again.
func (h *Held) Close() {
	for _, f := range h.files {
		f.Close()
	}
	h.files = nil
}
