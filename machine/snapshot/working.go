package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/vmm/memory"
)

// WorkingFile names the pages of memory that machines which went on from the snapshot used at first. It is made by a rehearsal, or else by the first of them, and there may be none.
// Little endian: magic "vmmpage2", the number of runs (8 bytes), the runs, ascending (first page and number of pages, 4 bytes each; the highest bit of the number says that they were
// written to), and a CRC-32C of all that. A file that is not whole counts as none.
const WorkingFile = "working-set"

const (
	workingMagic = "vmmpage2"
	workingHead  = 16
	workingRun   = 8
	maxRuns      = 1 << 20
	writtenBit   = 1 << 31
)

// OpenWorking opens the file in a snapshot's folder. set is what it holds; where that is nothing, and nobody else is about to change it, f is
// there to be written by WriteWorking. A link is not followed, which would have another file of this user's written over.
func OpenWorking(dir string) (set []memory.Extent, f *os.File, err error) {
	path := filepath.Join(dir, WorkingFile)
	if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0); err == nil {
		set, err = readWorking(f)
		f.Close()
		if err == nil {
			return set, nil, nil
		}
	}
	if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, nil, fmt.Errorf("the working set of a snapshot: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("the working set of a snapshot: %w", err)
	}
	return nil, f, nil
}

func readWorking(f *os.File) ([]memory.Extent, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n := info.Size() - workingHead - sumSize
	if !info.Mode().IsRegular() || n < 0 || n%workingRun != 0 || n/workingRun > maxRuns {
		return nil, fmt.Errorf("%s: %w", f.Name(), ErrCorrupt)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	return parseWorking(b)
}

func parseWorking(b []byte) ([]memory.Extent, error) {
	le := binary.LittleEndian
	if len(b) < workingHead+sumSize {
		return nil, ErrCorrupt
	}
	end := len(b) - sumSize
	if string(b[:8]) != workingMagic || le.Uint64(b[8:]) != uint64((end-workingHead)/workingRun) || crc32.Checksum(b[:end], castagnoli) != le.Uint32(b[end:]) {
		return nil, ErrCorrupt
	}
	set := make([]memory.Extent, 0, le.Uint64(b[8:]))
	next := uint64(0)
	for b = b[workingHead:end]; len(b) >= workingRun; b = b[workingRun:] {
		n := le.Uint32(b[4:])
		e := memory.Extent{First: le.Uint32(b), Pages: n &^ writtenBit, Written: n&writtenBit != 0}
		if uint64(e.First) < next {
			return nil, ErrCorrupt // a page twice
		}
		next = uint64(e.First) + uint64(e.Pages)
		set = append(set, e)
	}
	return set, nil
}

// WriteWorking writes the file. A set of too many pieces is an error.
func WriteWorking(f *os.File, set []memory.Extent) error {
	if len(set) > maxRuns {
		return errors.New("the working set of a snapshot lies in too many pieces")
	}
	b := append(make([]byte, 0, workingHead+len(set)*workingRun+sumSize), workingMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(set)))
	for _, e := range set {
		b = binary.LittleEndian.AppendUint32(b, e.First)
		n := e.Pages &^ writtenBit
		if e.Written {
			n |= writtenBit
		}
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(b, 0)
	return err
}
