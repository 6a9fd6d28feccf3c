package vmdk

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Repair puts right what [Check] calls a leak or repairable: copies of directories and tables that differ, room that belongs to nothing, the
// mark of a writer that did not close the disk, the lost end of a stream whose grains and tables are all there, and a descriptor that was only half
// rewritten or disagrees with the header that it lies behind. The parent is of no interest, and children do not notice.
func Repair(path string, o disk.OpenOptions) error {
	r, err := Check(path, o)
	if err != nil {
		return err
	}
	if !needsRepair(r) {
		return nil
	}
	o.ReadOnly, o.Alone, o.KeepIdentity = false, true, true
	i := &Image{flat: map[string]disk.File{}, options: o, repairing: true}
	if err = i.open(path, o); err == nil {
		err = i.repair()
	}
	if err = errors.Join(err, i.closeAll()); err != nil {
		return fmt.Errorf("%s: repair: %w", path, err)
	}
	return nil
}

func needsRepair(r *disk.Report) bool {
	for _, p := range r.Problems {
		if p.Severity != disk.Damage {
			return true
		}
	}
	return r.More > 0
}

// repair does what opening for writing has not done already.
func (i *Image) repair() error {
	if err := i.describeSize(); err != nil {
		return err
	}
	for _, s := range i.sparse() {
		if err := s.repair(); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	return nil
}

// describeSize makes the descriptor inside an extent agree with the header about the size.
func (i *Image) describeSize() error {
	if i.descriptorRoom == 0 || i.descriptor.Extents[0].Sectors == i.parts[0].Sectors {
		return nil
	}
	edits, err := i.descriptor.resize([]Extent{i.parts[0].Extent})
	if err != nil {
		return err
	}
	return i.change(edits)
}

// repair implements [writable]. It needs no mark: wherever it is interrupted, it left nothing worse.
func (s sparseSpace) repair() error {
	s.table.unclean = true
	return s.recover()
}

// repair implements [writable]. A stream can have two copies of its tables if it is another program's; room that belongs to nothing is its way.
func (s *streamSpace) repair() error {
	t := s.table
	if t.rgd == nil {
		return nil
	}
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.Flush(); err != nil {
		return err
	}
	r := &recovery{sparseSpace: sparseSpace{s.Store, t.sparse}}
	defer r.release()
	for _, step := range []func() error{r.survey, r.reconcile, t.finish} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
