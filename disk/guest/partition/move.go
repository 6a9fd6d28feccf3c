package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// Disk is what MoveBackupGPT changes. A [disk.Image] is one.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Flush() error // makes durable what was written
}

// MoveBackupGPT puts the backup GPT where it belongs on a disk of newSize bytes that had oldSize. A disk that grows has newSize
// when this is called, one that shrinks still has oldSize. SectorSize is that of [Table]. It refuses, before it changes anything, where a
// partition would not fit, or neither copy of the table is intact; a damaged primary copy is restored from the backup.
//
// A crash at any moment leaves at least one copy of the table intact where it is looked for, and a second call does the rest: the new backup is
// durable before the primary copy points at it, which is durable before the old backup is wiped.
func MoveBackupGPT(ctx context.Context, d Disk, oldSize, newSize int64, sectorSize int) error {
	if sectorSize != 512 && sectorSize != 4096 {
		return fmt.Errorf("move the backup GPT: sectors of %d bytes are not known", sectorSize)
	}
	m := mover{reader{ctx, d, max(oldSize, newSize)}, d, int64(sectorSize)}
	if err := m.move(oldSize/m.ss-1, newSize/m.ss-1); err != nil {
		return fmt.Errorf("move the backup GPT: %w", err)
	}
	return nil
}

type mover struct {
	reader
	disk Disk
	ss   int64
}

func (m mover) move(oldLast, newLast int64) error {
	h, err := m.header(1, m.ss)
	if err != nil {
		return err
	}
	restore := h == nil
	if restore {
		if h, err = m.header(oldLast, m.ss); err != nil {
			return err
		}
		if h == nil {
			// A run that was cut off may have written the new one already.
			if h, err = m.header(newLast, m.ss); err != nil {
				return err
			}
		}
		if h == nil {
			return damaged("neither its primary nor its backup copy is intact")
		}
	}
	// The primary array stays where it is. One that has to be restored goes to its usual place.
	at := h.arrayAt()
	if restore {
		at = 2
	}
	lastUsable := newLast - h.sectors() - 1
	if err := h.fits(at, lastUsable); err != nil {
		return err
	}
	old, err := m.old(h, restore, oldLast, newLast)
	if err != nil {
		return err
	}
	if restore {
		// Until it is whole again, the backup that is about to be overwritten may be the only one.
		if err := m.write(h, 1, at, h.my, h.lastUs); err != nil {
			return err
		}
	}
	if err := m.write(h, newLast, lastUsable+1, 1, lastUsable); err != nil {
		return err
	}
	if err := m.write(h, 1, at, newLast, lastUsable); err != nil {
		return err
	}
	if err := m.wipe(old, lastUsable+1, newLast); err != nil {
		return err
	}
	if err := m.protect(oldLast, newLast); err != nil {
		return err
	}
	return m.disk.Flush()
}

// fits refuses unless the primary array, all partitions and the new backup lie one behind the other.
func (h *header) fits(arrayAt, lastUsable int64) error {
	if arrayAt < 2 || h.firstUsable < arrayAt+h.sectors() {
		return damaged("its primary copy lies over the part of the disk that it calls usable")
	}
	if lastUsable < h.firstUsable {
		return errors.New("the disk is too small for the partition table and its backup")
	}
	for k := 0; (k+1)*h.entrySize <= len(h.array); k++ {
		e, used := h.entry(k)
		switch {
		case !used:
		case e.Length == 0:
			return damaged("partition %d: %s", e.Number, e.Problem)
		case e.Offset/h.ss < h.firstUsable:
			return damaged("partition %d lies over the partition table", e.Number)
		case e.End()/h.ss-1 > lastUsable:
			return fmt.Errorf("partition %d ends at byte %d, but only what is before byte %d can be used then", e.Number, e.End(), (lastUsable+1)*h.ss)
		}
	}
	return nil
}

// arrayAt is the sector where the header says that its array is.
func (h *header) arrayAt() int64 { return int64(binary.LittleEndian.Uint64(h.raw[gptEntriesAt:])) }

// old returns the backups that lie elsewhere than the new one will: where the disk used to end, and where the primary copy says.
func (m mover) old(h *header, restored bool, oldLast, newLast int64) (old []*header, err error) {
	places := []int64{oldLast}
	if !restored && h.alternate != oldLast {
		places = append(places, h.alternate)
	}
	for _, lba := range places {
		if lba == newLast || lba <= 1 {
			continue
		}
		b, err := m.header(lba, m.ss)
		if err != nil {
			return nil, err
		}
		if b != nil && h.spares(b.my, b.my) && h.spares(b.arrayAt(), b.arrayAt()+b.sectors()-1) {
			old = append(old, b)
		}
	}
	return old, nil
}

// spares says whether the sectors from first to last belong neither to a partition nor to the primary copy.
func (h *header) spares(first, last int64) bool {
	if first < h.firstUsable {
		return false
	}
	for k := 0; (k+1)*h.entrySize <= len(h.array); k++ {
		if e, used := h.entry(k); used && first*h.ss < e.End() && e.Offset < (last+1)*h.ss {
			return false
		}
	}
	return true
}

// write stores a copy of the table, its array first, and makes it durable.
func (m mover) write(h *header, my, arrayAt, alternate, lastUsable int64) error {
	array := make([]byte, h.sectors()*m.ss)
	copy(array, h.array)
	if my == 1 && arrayAt == h.arrayAt() && h.my == 1 {
		array = nil // the same as it was
	}
	le := binary.LittleEndian
	raw := bytes.Clone(h.raw)
	le.PutUint64(raw[gptMyAt:], uint64(my))
	le.PutUint64(raw[gptAlternateAt:], uint64(alternate))
	le.PutUint64(raw[gptLastAt:], uint64(lastUsable))
	le.PutUint64(raw[gptEntriesAt:], uint64(arrayAt))
	le.PutUint32(raw[gptArrayCRCAt:], crc32.ChecksumIEEE(h.array))
	le.PutUint32(raw[gptCRCAt:], headerCRC(raw))
	if len(array) > 0 {
		if err := m.put(array, arrayAt); err != nil {
			return err
		}
		if err := m.disk.Flush(); err != nil {
			return err
		}
	}
	if err := m.put(raw, my); err != nil {
		return err
	}
	return m.disk.Flush()
}

// wipe clears old backups, sparing the sectors of the new one.
func (m mover) wipe(old []*header, newFirst, newLast int64) error {
	for _, b := range old {
		at := b.arrayAt()
		for _, r := range [][2]int64{{at, at + b.sectors() - 1}, {b.my, b.my}} {
			for lba := r[0]; lba <= r[1]; lba++ {
				if lba >= newFirst && lba <= newLast {
					continue
				}
				if err := m.put(make([]byte, m.ss), lba); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// protect has the protective MBR cover the disk: its entry's size is one sector less than the disk's, or all ones where that is too much.
func (m mover) protect(oldLast, newLast int64) error {
	boot := make([]byte, 512)
	if err := m.read(boot, 0); err != nil {
		return err
	}
	for k, e := range parseMBR(boot).entries {
		// All ones are right for any size. An entry that never reached the disk's end belongs to a hybrid MBR.
		if e.kind != mbrProtective || e.start != 1 || e.length == math.MaxUint32 || int64(e.length) != oldLast {
			continue
		}
		b := boot[mbrEntriesAt+k*mbrEntrySize:]
		binary.LittleEndian.PutUint32(b[12:], uint32(min(newLast, math.MaxUint32)))
		copy(b[5:8], "\xff\xff\xff") // the last sector by heads and cylinders: beyond what can be said so
		return m.put(boot, 0)
	}
	return nil
}

// put writes p from sector lba on.
func (m mover) put(p []byte, lba int64) error {
	if _, err := m.disk.WriteAt(p, lba*m.ss); err != nil {
		return fmt.Errorf("write sector %d: %w", lba, err)
	}
	return nil
}
