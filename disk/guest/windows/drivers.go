// Package windows says whether a Windows can start from a controller that it has not seen yet, by the registry on its disk, and can make it so.
// A driver that is not loaded at the start leaves Windows without its disk (stop code 7B, INACCESSIBLE_BOOT_DEVICE), although the driver
// lies there: Windows 8 and later switch off, by StartOverride, those boot drivers that they did not need when they were installed.
package windows

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/internal/volume"
	"github.com/sharevm/vmm/disk/guest/ntfs"
	"github.com/sharevm/vmm/disk/guest/registry"
)

// bootStart is the value of Start that has a driver loaded by the boot loader.
const bootStart = 0

// Registry is the SYSTEM hive of a Windows on a disk.
type Registry struct {
	file    *ntfs.File
	hive    *registry.Hive
	base    int64  // the partition's place on the disk, in bytes
	control string // the name of the current control set
}

// ErrNone says that there is no Windows on a disk.
var ErrNone = errors.New("no Windows is on the disk")

// Open reads the registry of the Windows on a disk that was scanned. Where there is none, the error wraps ErrNone; other errors say in words for people
// why it cannot be read.
func Open(ctx context.Context, r io.ReaderAt, l *guest.Layout) (*Registry, error) {
	for k := range l.Partitions {
		p := &l.Partitions[k]
		if p.FileSystem != "ntfs" {
			continue
		}
		reg, err := open(ctx, r, p)
		if !errors.Is(err, fs.ErrNotExist) {
			return reg, err
		}
	}
	return nil, ErrNone
}

func open(ctx context.Context, r io.ReaderAt, p *guest.Partition) (*Registry, error) {
	v, err := ntfs.Open(ctx, volume.Reader{R: io.NewSectionReader(r, p.Offset, p.Length), Size: p.Length}, ntfs.Options{LoseShadowCopies: true})
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", p.Number, err)
	}
	f, err := v.File(ctx, "windows", "system32", "config", "system")
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", p.Number, err)
	}
	if f.Size() > registry.MaxSize {
		return nil, fmt.Errorf("partition %d: the registry has %d bytes", p.Number, f.Size())
	}
	b := make([]byte, f.Size())
	if err := f.Read(ctx, b, 0); err != nil {
		return nil, fmt.Errorf("partition %d: read the registry: %w", p.Number, err)
	}
	h, err := registry.Open(b)
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", p.Number, err)
	}
	sel, err := h.Key("Select")
	if err != nil {
		return nil, fmt.Errorf("partition %d: key Select: %w", p.Number, err)
	}
	current, ok, err := sel.Number("Current")
	if err != nil || !ok || current.Value > 999 {
		return nil, fmt.Errorf("partition %d: the registry does not say which control set is current", p.Number)
	}
	return &Registry{file: f, hive: h, base: p.Offset, control: fmt.Sprintf("ControlSet%03d", current.Value)}, nil
}

// numbers are the values that decide whether a driver is loaded at the start: its Start and what overrides that. Present is false where the driver
// is not installed.
func (g *Registry) numbers(driver string) (all []registry.Number, present bool, err error) {
	key, err := g.hive.Key(g.control, "Services", driver)
	if errors.Is(err, registry.ErrNoKey) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("driver %s: %w", driver, err)
	}
	start, ok, err := key.Number("Start")
	if err != nil || !ok {
		return nil, false, err
	}
	all = []registry.Number{start}
	override, err := key.Subkey("StartOverride")
	if errors.Is(err, registry.ErrNoKey) {
		return all, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("driver %s: %w", driver, err)
	}
	more, err := override.Numbers()
	return append(all, more...), true, err
}

// Boots says whether Windows loads all of the drivers at its start, and which of them it does not have at all.
func (g *Registry) Boots(drivers ...string) (boots bool, missing []string, err error) {
	boots = true
	for _, d := range drivers {
		all, present, err := g.numbers(d)
		if err != nil {
			return false, nil, err
		}
		if !present {
			missing = append(missing, d)
		}
		for _, n := range all {
			boots = boots && n.Value == bootStart
		}
	}
	return boots && missing == nil, missing, nil
}

// Change is what would be stored on the disk to have drivers loaded at the start.
type Change struct {
	Offset int64 // bytes from the start of the disk
	Data   [4]byte
}

// Adopt returns the changes that have Windows load the drivers at its start. Nothing grows: the numbers under StartOverride become those of a
// start, which is the same as if they were not there.
func (g *Registry) Adopt(drivers ...string) ([]Change, error) {
	var changes []Change
	for _, d := range drivers {
		all, present, err := g.numbers(d)
		if err != nil {
			return nil, err
		}
		if !present {
			return nil, fmt.Errorf("the Windows on the disk has no driver %s", d)
		}
		for _, n := range all {
			if n.Value == bootStart {
				continue
			}
			at, err := g.file.Place(n.Offset, 4)
			if err != nil {
				return nil, err
			}
			c := Change{Offset: g.base + at}
			binary.LittleEndian.PutUint32(c.Data[:], bootStart)
			changes = append(changes, c)
		}
	}
	return changes, nil
}
