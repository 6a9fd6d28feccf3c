package browser

import (
	"context"
	"path/filepath"

	"github.com/sharevm/vmm/images/browser/kernel"
	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/debian"
)

// guestKernel is the kernel that the machine is made with.
type guestKernel struct {
	release string
	image   string // path of the ELF file
	notice  string // path of its licence
	source  debian.Pin
	modules []initramfs.Module // in the order of loading
}

// kernel returns the small kernel, if there is one, or the one in Debian's package image.
func (b *builder) kernel(ctx context.Context, image unpacked) (guestKernel, error) {
	if b.small != nil {
		return b.small.guestKernel, nil
	}
	k, err := b.store.PinnedKernel(ctx, image.dir)
	if err != nil {
		return guestKernel{}, err
	}
	mods, err := initramfs.Modules(k.ModulesDir, modules...)
	if err != nil {
		return guestKernel{}, err
	}
	return guestKernel{k.Release, k.Vmlinux, filepath.Join(image.dir, "usr/share/doc", image.Name, "copyright"), image.Pin, mods}, nil
}

// smallKernel is a kernel without modules.
type smallKernel struct {
	guestKernel
	file file // the image
}

// readSmall reads what is in the folder of a small kernel.
func readSmall(folder string) (*smallKernel, error) {
	k, err := kernel.Read(folder)
	if err != nil {
		return nil, err
	}
	s := &smallKernel{guestKernel: guestKernel{
		release: k.Release, image: filepath.Join(folder, kernel.Image), notice: filepath.Join(folder, kernel.Copyright), source: k.Source,
	}}
	s.file, err = describe(s.image)
	return s, err
}

// sum is the checksum of the kernel, or nothing where it is Debian's, which the list of packages names.
func (s *smallKernel) sum() string {
	if s == nil {
		return ""
	}
	return s.file.SHA256
}
