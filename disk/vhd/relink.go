package vhd

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Relinker = (*Image)(nil)

// Relink implements [disk.Relinker]. A dynamic disk becomes a differencing one when it is given a parent, and the other way round when the
// parent goes: their blocks are the same. Sectors whose bit in a bitmap is clear are not stored, and so become the parent's. A fixed disk stores
// all of its sectors, and the error wraps [disk.ErrUnsupported].
func (i *Image) Relink(parent, format string) error {
	if err := i.maintain(); err != nil {
		return err
	}
	if i.table == nil {
		return fmt.Errorf("%s: %w: a fixed disk stores all of its content and cannot have a parent", i.info.Path, disk.ErrUnsupported)
	}
	if i.arranged {
		if err := i.tidy(maxMoved); err != nil {
			return fmt.Errorf("%s: %w", i.info.Path, err)
		}
		i.arranged = false // afterwards the header is another
	}
	if err := i.relink(parent, format); err != nil {
		return fmt.Errorf("%s: change the parent: %w", i.info.Path, err)
	}
	return nil
}

func (i *Image) relink(parent, format string) error {
	diskType, variant, to := uint32(typeDynamic), "dynamic", (*link)(nil)
	files := []string{i.info.Path}
	if parent != "" {
		o := i.options
		l, p, err := adopt(i.info.Path, disk.CreateOptions{
			Parent: parent, ParentFormat: format, AllowOutside: o.AllowOutside, Parents: o.Parents, Logger: o.Logger, Files: o.Files,
		})
		if err != nil {
			return err
		}
		if slices.Contains(p.Files, i.info.Path) {
			return fmt.Errorf("%s is, or is based upon, the disk itself", parent)
		}
		diskType, variant, to = typeDifferencing, "differencing", l
		parent, files = p.Path, append(files, p.Files...)
	} else if err := i.clearAbsent(); err != nil {
		return err
	}
	if err := i.replaceHeader(diskType, to); err != nil {
		return err
	}
	i.info.Variant, i.info.Parent, i.info.Files = variant, parent, files
	return nil
}

// clearAbsent zeroes what blocks hold in sectors whose bit is clear, because there are programs that do not look at the bitmap of a dynamic disk.
func (i *Image) clearAbsent() error {
	t := i.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := range t.blocks() {
		if t.bat[b] == unused {
			continue
		}
		bits, err := t.bitmap(b, t.bat[b])
		if err == nil && bits != nil {
			err = t.clearMissing(b, bits)
		}
		if err != nil {
			return err
		}
	}
	return i.file.Sync()
}

// replaceHeader gives the disk a type and a link, or none. The header has two sectors, of which a crash may leave one old and one new: so the new
// header is written at the end of the file first, and the footers, each of which is one sector, point there while the old one is overwritten.
func (i *Image) replaceHeader(diskType uint32, to *link) error {
	t := i.table
	head := make([]byte, headerSize)
	if err := disk.ReadFull(i.file, head, t.at, "dynamic header"); err != nil {
		return err
	}
	home, end := t.at, (t.next+sectorSize-1)/sectorSize*sectorSize
	if t.room(footerSize, end) >= footerSize+headerSize { // an attempt that was interrupted may have left it elsewhere
		home = footerSize
	}
	// seal returns the header with the locators that lie at byte at, and these.
	seal := func(at int64) (h, locators []byte) {
		h = slices.Clone(head)
		to.clear(h)
		if to != nil {
			locators = to.encode(h, at)
		}
		binary.BigEndian.PutUint32(h[headerSumAt:], checksum(h, headerSumAt))
		return h, locators
	}
	footerTo := func(header int64) *footer {
		return t.footer.with(func(f *footer) {
			binary.BigEndian.PutUint32(f[60:], diskType)
			binary.BigEndian.PutUint64(f[16:], uint64(header))
		})
	}

	h, locators := seal(end)
	away := end + int64(len(locators))
	if _, err := i.file.WriteAt(append(slices.Clone(locators), h...), end); err != nil {
		return err
	}
	t.next = away + headerSize
	if err := i.writeSynced(t.footer[:], t.next); err != nil {
		return err
	}
	if err := i.setFooters(footerTo(away)); err != nil {
		return err
	}
	// Now the old header is free, and so are its locators.
	keep := away
	if at := home + headerSize; at+int64(len(locators)) <= t.room(at, end) {
		h, locators = seal(at)
		keep = end
		if _, err := i.file.WriteAt(locators, at); err != nil {
			return err
		}
	}
	if err := i.writeSynced(h, home); err != nil {
		return err
	}
	if err := i.setFooters(footerTo(home)); err != nil {
		return err
	}
	t.next = keep
	if err := i.writeSynced(t.footer[:], keep); err != nil {
		return err
	}
	if err := i.file.Truncate(keep + footerSize); err != nil {
		return err
	}
	return i.file.Sync()
}

// room is where, from byte at on, the table or the first block starts; end if there is none.
func (t *table) room(at, end int64) int64 {
	if t.tableOffset >= at {
		end = min(end, t.tableOffset)
	}
	for b := range t.blocks() {
		if t.bat[b] != unused && t.start(uint32(b)) >= at {
			end = min(end, t.start(uint32(b)))
		}
	}
	return end
}
