package machine

import (
	"errors"
	"fmt"
	"os"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/exchange"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/machine/control"
)

// successor is an image that takes a disk's place.
type successor struct {
	index  int // in cfg.Disks
	path   string
	image  disk.Image
	passed *disk.Passed
}

// openSuccessors opens the images that shall take the places of the disks that the machine writes to for good, from files that came along, which it takes out of files.
// The disks are flushed, and nobody writes to them meanwhile; nothing else of the machine changes.
func (m *Machine) openSuccessors(files map[string]*os.File, children []control.Child) (all []successor, err error) {
	defer func() {
		if err != nil {
			closeSuccessors(all)
			all = nil
		}
	}()
	for i, d := range m.disks {
		if _, ok := d.(*exchange.Image); !ok {
			continue
		}
		a := m.cfg.Disks[i].Address.String()
		// The child finds in the files where blocks are that were written, and what has not been published it would miss.
		if err := d.Flush(); err != nil {
			return all, fmt.Errorf("disk %s: %w", a, err)
		}
		child := childOf(children, a)
		if child == nil {
			return all, fmt.Errorf("disk %s is written to for good, and there is no image to go on with", a)
		}
		mine := map[string]*os.File{}
		for path, name := range child.Files {
			if mine[path] = files[name]; mine[path] == nil {
				return all, fmt.Errorf("disk %s: the file %s did not come along", a, path)
			}
			delete(files, name)
		}
		s := successor{index: i, path: child.Path, passed: disk.NewPassed(mine)}
		s.image, err = formats.Open(child.Path, disk.OpenOptions{Files: s.passed}) // silent: the parent is not closed cleanly yet
		all = append(all, s)
		switch {
		case errors.Is(err, disk.ErrStaleParent): // the first write since it was opened gives a disk another identity
			return all, fmt.Errorf("disk %s: the guest wrote to it just as its child was made, for the first time since the machine was started: save it again (%w)", a, err)
		case err != nil:
			return all, fmt.Errorf("disk %s: %w", a, err)
		}
		if was, is := d.Size(), s.image.Size(); was != is {
			return all, fmt.Errorf("disk %s has %d bytes, %s %d", a, was, child.Path, is)
		}
	}
	if len(all) != len(children) {
		return all, fmt.Errorf("%d disks are written to for good, and there are images to go on with for %d", len(all), len(children))
	}
	return all, nil
}

func childOf(children []control.Child, address string) *control.Child {
	for i := range children {
		if children[i].Disk == address {
			return &children[i]
		}
	}
	return nil
}

func closeSuccessors(all []successor) {
	for _, s := range all {
		if s.image != nil {
			_ = s.image.Close() // nothing was written
		}
		s.passed.Close()
	}
}

// freeze has the machine, whose board is paused, go on with other images. What its disks were so far stays as it is.
func (m *Machine) freeze(all []successor) error {
	var errs []error
	for _, s := range all {
		d := &m.cfg.Disks[s.index]
		old, err := m.disks[s.index].(*exchange.Image).Exchange(s.image)
		if err != nil { // cannot be: the sizes were compared
			return err
		}
		m.mu.Lock()
		d.Path, d.Format = s.path, config.FormatVMDK
		m.mu.Unlock()
		// Everything was flushed; what closing does makes the image clean and gives the writer's locks back.
		errs = append(errs, old.Close(), s.passed.Lock())
		s.passed.Close()
	}
	if err := errors.Join(errs...); err != nil {
		m.log.Warn("disks that were frozen for a snapshot", "error", err)
	}
	return nil
}
