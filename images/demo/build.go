package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/images/guest"
	"github.com/sharevm/vmm/images/rootfs"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
)

// The files of the machine's folder.
const (
	vmxName    = "chromeos.vmx"
	rootName   = "chromeos.vmdk"
	dataName   = "data.vhd"
	kernelName = "vmlinux"
	initrdName = "initrd"
)

// Sizes of the disks in bytes. The files hold only what was written.
const (
	rootSize = 512 << 20
	dataSize = 1 << 30
)

// product is one file of the folder.
type product struct {
	name   string
	inputs []string // whatever the file depends on, as text
	make   func(ctx context.Context, path string) error
}

// hash sums up the inputs.
func (p product) hash() string {
	h := sha256.New()
	for _, s := range p.inputs {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// build brings the folder up to date. init is the compiled init program; "" compiles it. With fresh everything is made anew.
// products says what is in the folder.
func build(ctx context.Context, folder, init string, fresh bool, products func(context.Context, string) ([]product, error)) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(folder, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if init == "" {
		init = filepath.Join(tmp, "init")
		if err := guest.BuildInit(ctx, init); err != nil {
			return err
		}
	}
	all, err := products(ctx, init)
	if err != nil {
		return err
	}
	done := readManifest(folder)
	if fresh {
		done = manifest{}
	}
	changed := false
	for _, p := range all {
		did, err := update(ctx, folder, tmp, p, done, fresh)
		if err != nil {
			return fmt.Errorf("making %s: %w", filepath.Join(folder, p.name), err)
		}
		changed = changed || did
	}
	if !changed {
		return nil
	}
	return done.write(folder)
}

// update makes one file unless it is current, and says whether it did. A file that somebody changed is put aside.
func update(ctx context.Context, folder, tmp string, p product, done manifest, fresh bool) (bool, error) {
	path, inputs := filepath.Join(folder, p.name), p.hash()
	state, err := done.condition(path, inputs)
	if err != nil || state == current {
		return false, err
	}
	say("making %s", p.name)
	// An image may hold its own name, so it gets it from the start.
	made := filepath.Join(tmp, p.name)
	if err := p.make(ctx, made); err != nil {
		return false, err
	}
	if state == outdatedAndChanged && !fresh {
		if err := os.Rename(path, path+".old"); err != nil {
			return false, err
		}
		say("%s has to be new, but was changed after it was made: the one so far is %s.old", p.name, p.name)
	}
	if err := os.Rename(made, path); err != nil {
		return false, err
	}
	return true, done.record(path, inputs)
}

// ingredients are what all machines of this package are made from.
type ingredients struct {
	kernel  debian.Kernel
	busybox string // the package's folder
	program string // the init, whole
}

// ingredientsOf fetches them, with a kernel of the given flavour.
func ingredientsOf(ctx context.Context, flavour debian.Flavour, init string) (i ingredients, err error) {
	store, err := debian.Open("", func(line string) { say("%s", line) })
	if err != nil {
		return i, err
	}
	if i.kernel, err = store.Kernel(ctx, flavour); err != nil {
		return i, err
	}
	if i.busybox, err = store.Package(ctx, "busybox-static"); err != nil {
		return i, err
	}
	program, err := os.ReadFile(init)
	i.program = string(program)
	return i, err
}

// products are the files of the folder, with what they are made from.
func products(ctx context.Context, init string) ([]product, error) {
	i, err := ingredientsOf(ctx, debian.Cloud, init)
	if err != nil {
		return nil, err
	}
	kernel := i.kernel
	root := root(filepath.Join(i.busybox, "bin", "busybox"), init, "demo", motd)
	data := rootfs.Data(dataSize)
	return []product{
		{kernelName, []string{kernel.Vmlinux}, func(_ context.Context, path string) error {
			return filecopy.Copy(kernel.Vmlinux, path)
		}},
		{initrdName, []string{kernel.Vmlinux, strings.Join(guest.Modules, " "), i.program}, func(_ context.Context, path string) error {
			return writeInitrd(path, kernel, init, nil)
		}},
		{rootName, []string{i.busybox, recipe(root), i.program}, func(ctx context.Context, path string) error {
			return makeRoot(ctx, path, root)
		}},
		{dataName, []string{recipe(data)}, func(ctx context.Context, path string) error {
			return makeDisk(ctx, path, data)
		}},
		{vmxName, []string{vmxText}, func(_ context.Context, path string) error {
			return os.WriteFile(path, []byte(vmxText), 0o644)
		}},
	}, nil
}

// recipe is a disk's contents as text, but for files of the host, which have versions of their own.
func recipe(c rootfs.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %q %q\n", c.Size, c.Label, c.Dirs)
	for _, f := range c.Files {
		fmt.Fprintf(&b, "%q %o %q %q\n", f.Name, f.Mode, f.Data, f.Link)
	}
	return b.String()
}

// writeInitrd writes an initramfs with more modules than guests have as a rule.
func writeInitrd(path string, kernel debian.Kernel, init string, modules []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(guest.Initramfs(f, kernel, init, modules), f.Close())
}
