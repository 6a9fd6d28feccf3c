package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/boot/firmware"
	"github.com/sharevm/vmm/config"
	"golang.org/x/sys/unix"
)

// romware is the firmware that a machine boots by. It outlives power cycles, as a chip does.
type romware struct {
	code []byte // a mapping, which ends at 4 GiB
	// variables are the contents of the flash chip below code; nil for a BIOS.
	variables []byte
	store     *os.File // keeps variables; nil forgets them
	// roms are option ROMs by the name that SeaBIOS looks for.
	roms     map[string][]byte
	packaged bool // the distribution's OVMF
}

// optionROM is a program for SeaBIOS that belongs to a card whose PCI function has none of its own.
type optionROM struct {
	name string // by which SeaBIOS looks for it, from the function's identity
	file string
}

var vgaROM = optionROM{"pci1234,1111.rom", "vgabios-stdvga.bin"}

// cardROMs boot from the network.
var cardROMs = map[config.NICModel]optionROM{
	config.NICVirtio:  {"pci1af4,1041.rom", "pxe-virtio.rom"},
	config.NICE1000:   {"pci8086,100f.rom", "pxe-e1000.rom"},
	config.NICE1000E:  {"pci8086,10d3.rom", "pxe-e1000e.rom"},
	config.NICVmxnet3: {"pci15ad,07b0.rom", "pxe-vmxnet3.rom"},
}

// optionROMs are those that a machine wants: they cost time at each start, so that a card has one only where the machine boots by it.
func optionROMs(c *config.Machine) (roms []optionROM) {
	if c.DisplayAdapter() == config.DisplayVGA {
		roms = append(roms, vgaROM)
	}
	boots := !slices.ContainsFunc(c.Disks, func(d config.Disk) bool { return d.Path != "" })
	for _, n := range c.NICs {
		named := slices.ContainsFunc(c.Firmware.BootOrder, func(w string) bool {
			return strings.EqualFold(w, "ethernet") || strings.EqualFold(w, fmt.Sprintf("ethernet%d", n.Index))
		})
		if rom, ok := cardROMs[n.Model]; ok && (boots || named) && !slices.Contains(roms, rom) {
			roms = append(roms, rom)
		}
	}
	return roms
}

// byFirmware says whether a machine boots by firmware.
func byFirmware(c *config.Machine) bool { return c.Boot.Kernel == "" }

// findFirmware reads the image that a machine needs.
func findFirmware(c *config.Machine, folder string) (firmware.Image, error) {
	if c.Firmware.Kind != config.FirmwareEFI {
		return firmware.BIOS(folder)
	}
	return firmware.EFI(folder, c.Firmware.SecureBoot)
}

// openFirmware reads firmware and opens its variable store. With discard the store is read only.
func openFirmware(c *config.Machine, folder string, discard bool) (_ *romware, err error) {
	image, err := findFirmware(c, folder)
	if err != nil {
		return nil, err
	}
	r := &romware{roms: map[string][]byte{}, packaged: image.Packaged}
	defer func() {
		if err != nil {
			_ = r.close()
		}
	}()
	if r.code, err = pages(image.Code); err != nil {
		return nil, err
	}
	if image.Variables == nil {
		for _, o := range optionROMs(c) {
			if r.roms[o.name], err = firmware.OptionROM(folder, o.file); err != nil {
				return nil, fmt.Errorf("option ROM %s: %w", o.file, err)
			}
		}
		return r, nil
	}
	if r.variables, err = pages(image.Variables); err != nil {
		return nil, err
	}
	if c.Firmware.Variables == "" {
		return r, nil
	}
	if err := r.openStore(c.Firmware.Variables, image.Variables, discard); err != nil {
		return nil, fmt.Errorf("EFI variables: %w", err)
	}
	if c.Firmware.SecureBoot && !firmware.SecureBoot(r.variables) {
		return nil, fmt.Errorf("EFI variables: Secure Boot is asked for (uefi.secureBoot.enabled), and %s has it off: remove the file to begin with Microsoft's keys, or set the key to \"FALSE\"", c.Firmware.Variables)
	}
	return r, nil
}

// openStore reads the variable store at path, and makes it first if it is not there.
func (r *romware) openStore(path string, empty []byte, discard bool) error {
	flags := os.O_RDWR
	if discard {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if discard {
			return nil
		}
		if err := createStore(path, empty); err != nil {
			return err
		}
		f, err = os.OpenFile(path, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return err
	}
	if err := r.readStore(f); err != nil || discard {
		return errors.Join(err, f.Close())
	}
	r.store = f
	return nil
}

func (r *romware) readStore(f *os.File) error {
	s, err := f.Stat()
	if err != nil {
		return err
	}
	if !s.Mode().IsRegular() || s.Size() != int64(len(r.variables)) {
		return fmt.Errorf("%s is not a variable store of this firmware, which has %d bytes: remove it to begin with an empty one", f.Name(), len(r.variables))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another machine", f.Name())
	}
	_, err = f.ReadAt(r.variables, 0)
	return err
}

// createStore makes a variable store that is complete or not there.
func createStore(path string, contents []byte) (err error) {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(contents)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// pages copies p into pages of its own, which KVM can show to the guest.
func pages(p []byte) ([]byte, error) {
	page := os.Getpagesize()
	if len(p)%page != 0 {
		return nil, fmt.Errorf("firmware of %d bytes is not in whole pages", len(p))
	}
	b, err := unix.Mmap(-1, 0, len(p), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("memory for firmware: %w", err)
	}
	copy(b, p)
	return b, nil
}

func (r *romware) close() error {
	if r == nil {
		return nil
	}
	var errs []error
	for _, p := range [][]byte{r.code, r.variables} {
		if p != nil {
			errs = append(errs, unix.Munmap(p))
		}
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
