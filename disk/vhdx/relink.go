package vhdx

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// Relink implements [disk.Relinker]. A fixed disk stores everything, and gets no parent. Blocks of which a child stores only some sectors have
// zeroes in the others when it comes to stand alone.
func (i *Image) Relink(parent, format string) error {
	return i.named("relink", i.relink(parent, format))
}

func (i *Image) relink(parent, format string) error {
	if err := i.maintain(); err != nil {
		return err
	}
	l, path, err := i.linkTo(parent, format)
	if err != nil {
		return err
	}
	had := i.metadata.locator != nil
	switch {
	case l == nil && !had:
		return nil
	case l != nil && i.metadata.fixed:
		return fmt.Errorf("%w: a fixed disk stores everything itself, so that nothing would ever be read from a parent", disk.ErrUnsupported)
	}
	if err := i.session.touch(); err != nil {
		return err
	}
	v := newRevision(i.session.file)
	switch {
	case l == nil:
		err = i.leaveParent(v)
	case !had:
		err = i.takeParent(v)
	}
	if err != nil {
		return err
	}
	if err := i.writeLink(v, l); err != nil {
		return err
	}
	if err := i.session.commit(v, i.table.length&^(mib-1)); err != nil {
		return err
	}
	if i.parent != nil {
		if err := i.parent.Close(); err != nil {
			return err
		}
		i.parent = nil
	}
	i.info.Parent = path
	if err := i.reload(); err != nil {
		return err
	}
	return i.finish()
}

// linkTo returns the locator of a parent, and its path; nil for no parent.
func (i *Image) linkTo(parent, format string) (*locator, string, error) {
	if parent == "" {
		return nil, "", nil
	}
	o := i.options
	img, name, err := chain.Base(i.info.Path, disk.CreateOptions{
		Parent: parent, ParentFormat: format, AllowOutside: o.AllowOutside, Parents: o.Parents, Logger: o.Logger, Files: o.Files,
	}, openParent)
	if err != nil {
		return nil, "", err
	}
	defer img.Close()
	if problem := i.misfit(img); problem != "" {
		return nil, "", fmt.Errorf("%w: %s cannot be its parent: %s", disk.ErrUnsupported, parent, problem)
	}
	p := img.(*Image) // misfit has seen that it is
	return &locator{linkage: []guid{p.dataWrite}, names: []string{name}}, p.info.Path, nil
}

// writeLink has the metadata say that l is the parent, or that there is none if it is nil.
func (i *Image) writeLink(v *revision, l *locator) error {
	flags, link := uint32(0), []byte(nil)
	if l != nil {
		flags, link = hasParent, l.encode()
	}
	le := binary.LittleEndian
	parameters := le.AppendUint32(le.AppendUint32(nil, uint32(i.metadata.blockSize)), flags)
	r := i.table.regions.metadata
	if err := v.setItem(r, itemParameters, parameters); err != nil {
		return err
	}
	if err := v.setItem(r, itemParent, link); err != nil {
		return err
	}
	return i.foresee(v, i.metadata.size, l != nil)
}

// takeParent makes the table one of a disk with a parent, which has an entry for the sector bitmap of each chunk.
func (i *Image) takeParent(v *revision) error {
	t, s := i.table, i.session
	old, l := t.layout, t.layout
	l.parent = true
	if err := s.openLog(t.length &^ (mib - 1)); err != nil {
		return err
	}
	bat, moved, err := i.longerTable(l)
	if err != nil {
		return err
	}
	// Behind the table's end there may be anything.
	if err := t.file.Zero(bat.start+old.entries()*8, (l.entries()-old.entries())*8, true); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if moved {
		if err := v.setRegion(t.regions, regionBAT, bat); err != nil {
			return err
		}
	}
	return t.scan(old.entries(), func(index int64, e entry) error {
		if _, isBitmap := t.at(index); isBitmap && e != 0 {
			return disk.Corrupt(t.file.Name(), t.regions.bat.start+index*8, "the disk has no parent, but a sector bitmap; repair it first")
		}
		return nil
	})
}

// leaveParent makes the table one of a disk without a parent: there are no sector bitmaps, and all blocks are there as a whole or not at all.
func (i *Image) leaveParent(v *revision) error {
	t, s := i.table, i.session
	pages, last := 0, int64(-1)
	if err := t.scan(t.entries(), func(index int64, e entry) error {
		if n := index / entriesPerPage; t.withoutParent(index, e) != e && n != last {
			pages, last = pages+1, n
		}
		if e.state() != partiallyPresent || t.stray(index) {
			return nil
		}
		block, _ := t.at(index)
		return t.clearUnmarked(block, e)
	}); err != nil {
		return err
	}
	if pages > s.capacity()/2 { // the rest is for the metadata
		return i.replaceTable(v)
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	le, at := binary.LittleEndian, t.regions.bat.start
	return t.scan(t.entries(), func(index int64, e entry) error {
		if alone := t.withoutParent(index, e); alone != e {
			return v.write(le.AppendUint64(nil, uint64(alone)), at+index*8)
		}
		return nil
	})
}

// replaceTable is leaveParent's way if the log cannot hold all that changes: there is a new table.
func (i *Image) replaceTable(v *revision) error {
	t, s := i.table, i.session
	if err := s.openLog(t.length &^ (mib - 1)); err != nil {
		return err
	}
	bat, err := t.newRegion(t.regions.bat.end - t.regions.bat.start)
	if err != nil {
		return err
	}
	if err := t.copyTable(bat, t.withoutParent); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	return v.setRegion(t.regions, regionBAT, bat)
}

// withoutParent is what entry number index becomes when the disk comes to stand alone.
func (t *table) withoutParent(index int64, e entry) entry {
	_, isBitmap := t.at(index)
	switch {
	case isBitmap || t.stray(index):
		return 0
	case e.state() == partiallyPresent:
		return newEntry(fullyPresent, int64(e.offset()))
	}
	return e
}

// clearUnmarked has the sectors of a block that are the parent's read as zeroes in the file, where nobody looks as long as there is a parent.
func (t *table) clearUnmarked(block int64, e entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := t.sliceAt(block)
	if err != nil {
		return err
	}
	end := t.blockSize() / t.sector
	for first := int64(0); first < end; {
		present, n, err := t.run(at, first, end)
		if err != nil {
			return err
		}
		if !present {
			if err := t.file.Zero(int64(e.offset())+first*t.sector, n*t.sector, true); err != nil {
				return err
			}
		}
		first += n
	}
	return nil
}
