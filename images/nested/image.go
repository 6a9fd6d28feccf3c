package nested

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/images/nested/agent"
	"github.com/sharevm/vmm/images/nested/cr8"
	"github.com/sharevm/vmm/images/userland"
	"github.com/sharevm/vmm/internal/debian"
	"golang.org/x/sys/unix"
)

// modules are what the guest's kernel loads before the command runs.
var modules = []string{
	"virtio_mmio", "virtio_console", "virtio_net", "virtio_rng", // the machine
	"tun", "vhost_net", "vhost_vsock", // what hypervisors expect beside /dev/kvm
}

// fileModules are for the host's files.
var fileModules = []string{"9p", "9pnet_virtio", "overlay"}

// displayModules are for the devices that Config.Display gives the guest, by the card.
var displayModules = map[string][]string{
	"virtio-vga":    {"virtio_pci", "virtio_gpu", "virtio_input", "evdev"},
	"bochs-display": {"virtio_pci", "bochs", "virtio_input", "evdev"},
}

// kvmModule is the one that runs guests on the outer machine's processor.
func kvmModule(a Accel) (string, error) {
	if a == TCG {
		return "kvm_amd", nil
	}
	return hostKVMModule()
}

// Prepare fetches and unpacks what Run needs, so that Run starts at once. Run does it by itself when it was not done. store is the
// folder of the package cache and may be "".
func Prepare(ctx context.Context, store string, flavour debian.Flavour, progress debian.Progress) (debian.Kernel, error) {
	s, err := debian.Open(store, progress)
	if err != nil {
		return debian.Kernel{}, err
	}
	return s.Kernel(ctx, flavour)
}

// image packs the guest's initramfs into a file of memory: the running program as its first process, the modules, and for an
// isolated guest its userland.
func image(ctx context.Context, k debian.Kernel, c Config) (*os.File, error) {
	kvm, err := kvmModule(c.Accel)
	if err != nil {
		return nil, err
	}
	names := append(slices.Clone(modules), kvm)
	if c.Kernel != debian.Cloud {
		names = append(names, fileModules...)
	}
	names = append(names, displayModules[c.Display]...)
	mods, err := initramfs.Modules(k.ModulesDir, names...)
	if err != nil {
		return nil, err
	}
	if c.Accel == TCG {
		for i := range mods {
			if mods[i].Name == kvm {
				if mods[i].Data, err = cr8.Patch(mods[i].Data); err != nil {
					return nil, err
				}
			}
		}
	}
	var files []initramfs.File
	if c.Isolated {
		bb, err := userland.Build(ctx, "", c.Progress)
		if err != nil {
			return nil, err
		}
		files = bb.Files()
	}
	var dirs []string
	if c.Kernel == debian.Cloud {
		dirs = []string{c.Dir}
		if strings.Contains(c.Args[0], "/") {
			files = append(files, initramfs.File{Name: absolute(c.Dir, c.Args[0]), Mode: 0o755, Path: absolute(c.Dir, c.Args[0])})
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's own file: %w", err)
	}
	if err := standsAlone(self); err != nil {
		return nil, err
	}
	f, err := memoryFile("initramfs")
	if err != nil {
		return nil, err
	}
	if err := initramfs.Build(f, initramfs.Config{Init: self, InitName: agent.InitPath, Modules: mods, Dirs: dirs, Files: files}); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// standsAlone errs for a program that needs a dynamic linker: where it is the first process, there is none.
func standsAlone(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("reading this program's own file: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs libraries, and the nested host has none for it: build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

// absolute is path as seen from the folder dir.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// memoryFile makes a file that vanishes with the last process that has it open.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
