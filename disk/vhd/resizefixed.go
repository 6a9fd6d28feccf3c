package vhd

import (
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

// resizeFixed moves the footer of a fixed disk.
func (i *Image) resizeFixed(size int64) error {
	l := i.location
	if l.footerAt%sectorSize != 0 {
		return disk.Unsupported(i.file.Name(), l.footerAt, "a footer that does not start at a whole sector")
	}
	if size > l.footerAt {
		if err := i.clearSynced(i.info.Size, l.footerAt); err != nil {
			return err
		}
		if err := i.growFixed(size); err != nil {
			return err
		}
		return i.writeSynced(l.footer.with(func(f *footer) { f.setSize(size) })[:], size)
	}
	// What is between the old and the new end goes before the capacity changes.
	if err := i.clearSynced(min(i.info.Size, size), l.footerAt); err != nil {
		return err
	}
	return i.endFixed(l.footer.with(func(f *footer) { f.setSize(size) }), size)
}

// clearSynced zeroes [from, to) of the file.
func (i *Image) clearSynced(from, to int64) error {
	if err := i.file.Zero(from, to-from, true); err != nil {
		return err
	}
	return i.file.Sync()
}

// growFixed moves the footer to byte at, if that is further, and leaves zeroes behind. The only footer that there is must not get
// lost on the way, and a file can have become longer when its new end has not been written yet. So the footer moves by powers of two of sectors:
// a reader who finds none at the end has few places to look for it (see seek). It says the old capacity all the way.
func (i *Image) growFixed(at int64) error {
	f, here := i.location.footer, i.location.footerAt
	for here < at {
		next := here + sectorSize<<(bits.Len64(uint64((at-here)/sectorSize))-1)
		if err := i.writeSynced(f[:], next); err != nil {
			return err
		}
		if err := i.file.Zero(here, footerSize, true); err != nil {
			return err
		}
		here = next
	}
	return i.file.Sync()
}

// endFixed writes a fixed disk's footer, moves it back to byte at, and ends the file there. It goes by powers of two of sectors as well: a
// file of the old length may have lost its last sector already.
func (i *Image) endFixed(f *footer, at int64) error {
	here := i.location.footerAt
	if err := i.clearSynced(at, here); err != nil {
		return err
	}
	for {
		if err := i.writeSynced(f[:], here); err != nil {
			return err
		}
		if err := i.file.Truncate(here + footerSize); err != nil {
			return err
		}
		if err := i.file.Sync(); err != nil {
			return err
		}
		if here <= at {
			return nil
		}
		here -= sectorSize << (bits.Len64(uint64((here-at)/sectorSize)) - 1)
	}
}

// recoverFixed ends the growth of a fixed disk that was interrupted: the footer returns to the disk's end if there are only zeroes and footers in between.
func (i *Image) recoverFixed() error {
	l := i.location
	at, err := l.home(i.file)
	if err != nil || at == l.footerAt && !l.displaced {
		return err
	}
	return i.endFixed(l.footer, at)
}

// home is where the footer of a fixed disk belongs, if nothing but zeroes and footers would have to go for that.
func (l location) home(file disk.File) (int64, error) {
	at := l.footer.fixedEnd(l.footerAt)
	idle, err := zeroes(file, at, l.footerAt, func(sector []byte) bool { return len(sector) == footerSize && footer(sector).sameDisk(l.footer) })
	if !idle {
		at = l.footerAt
	}
	return at, err
}

// fixedEnd is where what belongs to a fixed disk ends whose footer is at byte at: a guest may be shown less than there is.
func (f *footer) fixedEnd(at int64) int64 {
	end := max(int64(f.capacity()), int64(min(f.currentSize(), uint64(at))))
	return min(at, end+(at-end)%sectorSize) // it stays a whole number of sectors away
}

// sameDisk says whether f is another copy of a footer.
func (f footer) sameDisk(other *footer) bool { return f.problem() == "" && f.id() == other.id() }
