package vmdk

import (
	"bytes"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// detour is what the first sector of a descriptor says while the text is rewritten in place: a whole copy is farther behind.
const detour = "# Disk DescriptorFile\n# being rewritten; all of it is %d bytes behind the start of this text\n"

// textFile is where a descriptor lies.
type textFile struct {
	disk.File
	at   int64 // where it starts
	room int64 // bytes that it may take, or 0 if the file is its own
}

// copied finds the copy of a text that is being rewritten, or that has just been. The former has to be read instead.
func copied(raw []byte) (at int, instead bool) {
	if n, _ := fmt.Sscanf(string(raw[:min(len(raw), sectorSize)]), detour, &at); n == 1 {
		if at >= sectorSize && at < len(raw) && at%sectorSize == 0 {
			return at, true
		}
		return 0, false
	}
	text := untilNUL(raw)
	for at = len(text); at < len(raw) && raw[at] == 0; {
		at++
	}
	if at%sectorSize == 0 && len(text) > 0 && bytes.HasPrefix(raw[at:], text) {
		return at, false
	}
	return 0, false
}

// untilNUL returns the text that raw starts with.
func untilNUL(raw []byte) []byte {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return raw[:i]
	}
	return raw
}

// replace writes text in place of old, durably. At each moment one of them can be read: first a copy is written behind both, then the first
// sector is made to lead there, all but the first sector is rewritten, and then that. A change of one sector alone needs no copy.
func (f textFile) replace(old, text []byte) error {
	if first, last, ok := differ(old, text); ok {
		if first > last {
			return nil
		}
		if _, err := f.WriteAt(text[first:last+1], f.at+int64(first)); err != nil {
			return err
		}
		return f.Sync()
	}
	duplicate := padded(append(bytes.Clone(text), 0))
	at := sectors(int64(max(len(old), len(text)))+1) * sectorSize
	if f.room > 0 && at+int64(len(duplicate)) > f.room || len(text) > maxDescriptor/4 {
		return disk.Unsupported(f.Name(), f.at, "there is no room to rewrite the descriptor in such a way that a power failure cannot harm it")
	}
	if err := f.write(duplicate, at); err != nil {
		return err
	}
	if err := f.write(padded(fmt.Appendf(nil, detour, at)), 0); err != nil {
		return err
	}
	return f.settle(text, at)
}

// differ finds the bytes in which texts of one length differ. It returns false if they lie in several sectors of the text.
func differ(old, text []byte) (first, last int, ok bool) {
	if len(old) != len(text) {
		return 0, 0, false
	}
	for first < len(old) && old[first] == text[first] {
		first++
	}
	for last = len(old) - 1; last > first && old[last] == text[last]; {
		last--
	}
	return first, last, first > last || first/sectorSize == last/sectorSize
}

// settle puts text in its place, of which there is a copy at byte at, and takes the copy away.
func (f textFile) settle(text []byte, at int64) error {
	whole := make([]byte, at)
	copy(whole, text)
	if at > sectorSize {
		if err := f.write(whole[sectorSize:], sectorSize); err != nil {
			return err
		}
	}
	if err := f.write(whole[:sectorSize], 0); err != nil {
		return err
	}
	return f.tidy(text, at)
}

// tidy takes away the copy of text at byte at.
func (f textFile) tidy(text []byte, at int64) error {
	if f.room > 0 {
		return f.write(make([]byte, sectors(int64(len(text)))*sectorSize), at)
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return err
	}
	return f.Sync()
}

// write stores p at a byte of the text, durably.
func (f textFile) write(p []byte, at int64) error {
	if _, err := f.WriteAt(p, f.at+at); err != nil {
		return err
	}
	return f.Sync()
}

// text is where the disk's descriptor lies.
func (i *Image) text() textFile { return textFile{i.descriptorIn, i.descriptorAt, i.descriptorRoom} }

// change edits the descriptor, durably.
func (i *Image) change(edits []edit) error {
	text := i.descriptor.edited(edits)
	d, err := ParseDescriptor(text)
	if err != nil {
		return fmt.Errorf("%s: change the descriptor: %w", i.info.Path, err)
	}
	if err := i.text().replace(i.descriptor.text, text); err != nil {
		return fmt.Errorf("%s: change the descriptor: %w", i.info.Path, err)
	}
	i.descriptor = d
	return nil
}

// settle completes a change of the descriptor that was interrupted.
func (i *Image) settle() error {
	var err error
	switch {
	case i.detour:
		err = i.text().settle(i.descriptor.text, i.copyAt)
	case i.copyAt > 0:
		err = i.text().tidy(i.descriptor.text, i.copyAt)
	}
	if err != nil {
		return fmt.Errorf("%s: complete a change of the descriptor: %w", i.info.Path, err)
	}
	i.detour, i.copyAt = false, 0
	return nil
}
