package vmdk

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// surveyed bounds how much of the grain tables Open looks at, in bytes: a few milliseconds, all of a disk of 256 GiB.
const surveyed = 16 << 20

// survey checks the first tables, so that a truncated file is refused before a machine runs on it, without keeping them.
func (s *sparse) survey() error {
	scan, t := newScanner(s.file, s.length), make(grainTable, s.tableEntries)
	defer scan.release()
	for i := range min(s.entries(), surveyed/s.tableBytes()) {
		if s.gd[i] == 0 {
			continue
		}
		if _, err := s.parseTable(scan, t, s.gd[i], i); err == nil {
			continue
		}
		if _, err := s.table(i); err != nil { // a sound copy will do
			return err
		}
	}
	return nil
}

// begin marks the extent as being written.
func (s sparseSpace) begin() error { return s.mark(true) }

// end gives back the room that was taken in advance and then marks the extent as whole, durably.
func (s sparseSpace) end() error {
	if s.table.arranged {
		if err := s.tidy(); err != nil {
			return err
		}
	}
	trimmed, err := s.table.trim()
	if err != nil {
		return err
	}
	if trimmed {
		s.Wrote()
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if err := s.mark(false); err != nil {
		return err
	}
	return s.Flush()
}

// begin runs before a session's first change: extents are marked as being written, and the disk gets a new content
// identifier, durably, so that no change is ever seen without them.
func (i *Image) begin() error {
	for _, s := range i.sparse() {
		if err := s.begin(); err != nil {
			return fmt.Errorf("%s: mark as in use: %w", s.name(), err)
		}
	}
	var err error
	if !i.options.KeepIdentity {
		if err = i.newCID(); err == nil {
			err = i.descriptorIn.Sync()
		}
	}
	for _, s := range i.sparse() {
		if err == nil {
			err = s.Flush()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: change the content identifier: %w", i.info.Path, err)
	}
	return nil
}

// newCID overwrites the digits of the CID, as many as there are, and of the long content identifier that ends with them.
func (i *Image) newCID() error {
	d := i.descriptor
	digits := min(d.cid.size, 8)
	cid := randomCID(digits, d.CID)
	if err := i.rewrite(d.cid, fmt.Sprintf("%0*x", d.cid.size, cid)); err != nil {
		return err
	}
	if d.content.size == 0 {
		return nil
	}
	var long [16]byte
	rand.Read(long[:12])
	binary.BigEndian.PutUint32(long[12:], cid)
	return i.rewrite(d.content, hex.EncodeToString(long[:]))
}

func (i *Image) rewrite(f field, text string) error {
	if _, err := i.descriptorIn.WriteAt([]byte(text), i.descriptorAt+int64(f.at)); err != nil {
		return err
	}
	copy(i.descriptor.text[f.at:], text)
	return nil
}

// randomCID returns an identifier of so many hexadecimal digits that differs from old. The two highest values have other meanings.
func randomCID(digits int, old uint32) uint32 {
	var b [4]byte
	for {
		rand.Read(b[:])
		cid := binary.LittleEndian.Uint32(b[:]) >> (32 - 4*digits)
		if cid != old && cid < noParent-1 {
			return cid
		}
	}
}

// end closes the files, after the mark of begin was taken away if all went well.
func (i *Image) end(clean bool) error {
	clean = clean && i.failed == nil
	var err error
	for _, s := range i.sparse() {
		if clean && err == nil {
			if err = s.end(); err != nil {
				err = fmt.Errorf("%s: mark as closed: %w", s.name(), err)
			}
		}
	}
	return errors.Join(err, i.closeAll())
}

func (i *Image) closeAll() (err error) {
	if i.parent != nil {
		err = i.parent.Close()
	}
	for _, p := range i.parts {
		if p.table != nil && p.table.inflated != nil {
			err = errors.Join(err, p.table.inflated.Close())
		}
	}
	for _, f := range i.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
