package vhd

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
)

const (
	// maxMoved bounds, in bytes, how much is moved at Open to fill what a crash left unused in the middle of a file.
	maxMoved = 256 << 20
	// moveStep is how much of a block is moved at a time.
	moveStep = 256 << 10
)

// recover puts right what a writer left that ended between its flushes: blocks that the table does not know, and a footer that is not
// at the end. Each step is durable before the next, and the file is as good as before in between.
func (t *table) recover(l location) error {
	if !l.recovered && t.leaked(l) == 0 {
		t.next = l.end()
		return nil
	}
	err := t.closeGaps()
	if err == nil {
		err = t.restoreEnd(l)
	}
	if err != nil {
		return fmt.Errorf("%s: recover from a writer that did not close it: %w", t.file.Name(), err)
	}
	return nil
}

// placed returns the blocks that are stored in the order of their places.
func (t *table) placed() []uint32 {
	var blocks []uint32
	for b := range t.blocks() {
		if t.bat[b] != unused {
			blocks = append(blocks, uint32(b))
		}
	}
	slices.SortFunc(blocks, func(a, b uint32) int { return cmp.Compare(t.bat[a], t.bat[b]) })
	return blocks
}

// closeGaps moves blocks from the end of the file into room between others that belongs to none.
func (t *table) closeGaps() error {
	blocks := t.placed()
	moved := map[int64]bool{} // sectors of the table
	for k, budget := 0, maxMoved/t.stride(); k+1 < len(blocks) && budget > 0; k++ {
		at := t.align(int64(t.bat[blocks[k]])*sectorSize + t.stride())
		end := at + t.stride()
		if end > int64(t.bat[blocks[k+1]])*sectorSize || t.overTables(at, end) {
			continue
		}
		last := blocks[len(blocks)-1]
		if err := t.move(int64(t.bat[last])*sectorSize, at); err != nil {
			return err
		}
		t.bat[last] = uint32(at / sectorSize)
		moved[int64(last)*4/sectorSize*sectorSize] = true
		blocks = slices.Insert(blocks[:len(blocks)-1], k+1, last)
		budget--
	}
	if len(moved) == 0 {
		return nil
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	for at := range moved {
		if _, err := t.file.WriteAt(t.encode(at), t.tableOffset+at); err != nil {
			return err
		}
	}
	return t.file.Sync()
}

// move copies a block with its bitmap. The last one of a file may be short.
func (t *table) move(from, to int64) error {
	size, err := t.file.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, moveStep)
	for n, end := int64(0), min(t.stride(), size-from); n < end; {
		p := buf[:min(moveStep, end-n)]
		if err := disk.ReadFull(t.file, p, from+n, "block"); err != nil {
			return err
		}
		if _, err := t.file.WriteAt(p, to+n); err != nil {
			return err
		}
		n += int64(len(p))
	}
	return nil
}

// restoreEnd puts the footer behind the last block and ends the file there.
func (t *table) restoreEnd(l location) error {
	end := int64(0)
	for _, a := range t.tables() {
		end = max(end, (a.end+sectorSize-1)/sectorSize*sectorSize)
	}
	if blocks := t.placed(); len(blocks) > 0 {
		end = max(end, int64(t.bat[blocks[len(blocks)-1]])*sectorSize+t.stride())
	}
	end = min(end, l.end()) // the last block may be short
	if _, err := t.file.WriteAt(t.footer[:], end); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	t.next = end
	if l.fileSize <= end+footerSize {
		return nil
	}
	if err := t.file.Truncate(end + footerSize); err != nil {
		return err
	}
	return t.file.Sync()
}
