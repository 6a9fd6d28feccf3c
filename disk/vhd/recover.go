package vhd

import (
	"github.com/sharevm/vmm/disk"
)

// maxMoved bounds, in bytes, how much is moved at Open and Close to fill what a crash or an unfinished arrangement left unused in the middle of a file.
const maxMoved = 256 << 20

// recover puts right what a writer left that ended before its time: a wrong copy of the footer, entries of blocks beyond the disk, blocks that the
// table does not know, and a footer that is not at the end. Each step is durable before the next, and the file is as good as before in between. At most
// budget bytes are moved.
func (i *Image) recover(budget int64) error {
	if i.table == nil {
		return i.recoverFixed()
	}
	l := i.location
	if !l.recovered {
		if copied, err := readCopy(i.file); err != nil {
			return err
		} else if *copied != *l.footer {
			if err := i.writeSynced(l.footer[:], 0); err != nil {
				return err
			}
		}
	}
	if i.table.dropStrays() {
		i.store.Wrote()
		if err := i.store.Flush(); err != nil {
			return err
		}
	}
	if l.recovered {
		return i.closeGaps(budget)
	}
	return i.tidy(budget)
}

// readCopy reads the copy of the footer at the start.
func readCopy(file disk.File) (*footer, error) {
	f := &footer{}
	return f, disk.ReadFull(file, f[:], 0, "copy of the footer")
}

func (i *Image) writeSynced(p []byte, at int64) error {
	if _, err := i.file.WriteAt(p, at); err != nil {
		return err
	}
	return i.file.Sync()
}

// stray says whether an entry belongs to a block beyond the disk. It means nothing, but other programs take its place for used.
func (t *table) stray(block int64) bool {
	known := (int64(min(t.footer.currentSize(), 1<<62)) + t.blockSize - 1) >> t.shift // geometry may give a guest less
	return block >= max(t.blocks(), known) && t.bat[block] != unused
}

// dropStrays clears stray entries, and says whether there were any.
func (t *table) dropStrays() bool {
	found := false
	for b := t.blocks(); b < t.entries; b++ {
		if t.stray(b) {
			t.drop(b)
			found = true
		}
	}
	return found
}

// tidy closes gaps, if there are any.
func (i *Image) tidy(budget int64) error {
	if err := i.store.Flush(); err != nil {
		return err
	}
	if i.table.leaked() == 0 {
		return nil
	}
	return i.closeGaps(budget)
}

// closeGaps moves blocks from the end of the file into room between others that belongs to none, and puts the footer behind the last one.
func (i *Image) closeGaps(budget int64) error {
	t := i.table
	blocks := t.placed()
	r, err := t.rooms(blocks)
	if err != nil { // blocks overlap: nothing is moved then
		return t.restoreEnd()
	}
	// The last blocks move, so that those from first on are where they were.
	free := int64(0)
	for first, last := 0, len(blocks)-1; first <= last && budget > 0; free++ {
		if r.slot(t.start(blocks[first])) == free {
			first++
			continue
		}
		if err := t.move(int64(blocks[last]), r.place(free)); err != nil {
			return err
		}
		i.store.Wrote()
		last--
		budget -= t.stride()
	}
	if err := i.store.Flush(); err != nil {
		return err
	}
	return t.restoreEnd()
}

// restoreEnd puts the footer behind the last block and ends the file there. What the table says has to be durable.
func (t *table) restoreEnd() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.pending) // that room is cut off
	end := t.tablesEnd()
	for b := range t.blocks() {
		if t.bat[b] != unused {
			end = max(end, t.start(uint32(b))+t.stride())
		}
	}
	end = min(end, t.next) // the last block may be short
	if _, err := t.file.WriteAt(t.footer[:], end); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	t.next = end
	size, err := t.file.Size()
	if err != nil || size <= end+footerSize {
		return err
	}
	if err := t.file.Truncate(end + footerSize); err != nil {
		return err
	}
	return t.file.Sync()
}
