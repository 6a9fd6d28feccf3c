package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/vmm/memory"
)

// SumsFile holds checksums of the files that are too large to be read whenever a machine goes on: magic "vmmsums1", a CRC-32C of what follows (little endian, 4 bytes), and a
// list of Summed in JSON. Verify compares.
const SumsFile = "sums"

const (
	sumsMagic = "vmmsums1"
	sumsHead  = len(sumsMagic) + sumSize
	maxSums   = 64 << 20 // bytes of the file
	maxSummed = 256      // more than a machine has disks
)

// ErrUnsummed is wrapped where a snapshot was saved without checksums.
var ErrUnsummed = errors.New("the snapshot was saved by an older vmm, without checksums of its memory: it cannot be checked, and machines start from it as ever")

// Summed is a file with its checksums: of each memory.SumUnit of it the CRC-32C.
type Summed struct {
	Name string
	Size int64
	Sums []uint32
}

// Sum takes the checksums of a file that was written. Holes count as what they read as.
func Sum(name string, f *os.File) (s Summed, err error) {
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s = Summed{Name: name, Size: info.Size(), Sums: make([]uint32, units(info.Size()))}
	err = eachUnit(f, s.Size, func(i int, sum uint32) { s.Sums[i] = sum })
	return s, err
}

func units(size int64) int { return int((size + memory.SumUnit - 1) / memory.SumUnit) }

// eachUnit calls yield with the checksum of each unit of a file, from several goroutines.
func eachUnit(f *os.File, size int64, yield func(i int, sum uint32)) (err error) {
	var (
		next atomic.Int64
		once sync.Once
		work sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), units(size)) {
		work.Go(func() {
			buf := make([]byte, memory.SumUnit)
			for {
				i := next.Add(1) - 1
				off := i * memory.SumUnit
				if off >= size {
					return
				}
				sum, e := sumAt(f, buf[:min(memory.SumUnit, size-off)], off)
				if e != nil {
					once.Do(func() { err = e })
					return
				}
				yield(int(i), sum)
			}
		})
	}
	work.Wait()
	return err
}

// sumAt is the checksum of len(buf) bytes at off. Those that are a hole are not read.
func sumAt(f *os.File, buf []byte, off int64) (uint32, error) {
	// The position that this moves is nobody's.
	if at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA); err == unix.ENXIO || err == nil && at >= off+int64(len(buf)) {
		return memory.SumZeroes(len(buf)), nil
	}
	if n, err := f.ReadAt(buf, off); err != nil && (err != io.EOF || n < len(buf)) {
		return 0, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return memory.Sum(buf), nil
}

// WriteSums writes the file, which must be empty. It is not synced.
func WriteSums(f io.Writer, all []Summed) error {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint32([]byte(sumsMagic), crc32.Checksum(b, castagnoli))
	if _, err := f.Write(append(head, b...)); err != nil {
		return fmt.Errorf("write a snapshot's checksums: %w", err)
	}
	return nil
}

func parseSums(b []byte) (all []Summed, err error) {
	if len(b) < sumsHead || string(b[:len(sumsMagic)]) != sumsMagic {
		return nil, fmt.Errorf("%w: these are no checksums", ErrCorrupt)
	}
	if crc32.Checksum(b[sumsHead:], castagnoli) != binary.LittleEndian.Uint32(b[len(sumsMagic):]) {
		return nil, fmt.Errorf("%w: the checksum of the checksums is wrong", ErrCorrupt)
	}
	// One by one: a list of many small ones takes many times the file's size.
	d := json.NewDecoder(bytes.NewReader(b[sumsHead:]))
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for d.More() {
		var s Summed
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if s.Name != filepath.Base(s.Name) || s.Size < 0 || len(s.Sums) != units(s.Size) {
			return nil, fmt.Errorf("%w: %d checksums of the %d bytes of %q", ErrCorrupt, len(s.Sums), s.Size, s.Name)
		}
		if all = append(all, s); len(all) > maxSummed {
			return nil, fmt.Errorf("%w: checksums of more than %d files", ErrCorrupt, maxSummed)
		}
	}
	return all, nil
}

func readSums(dir string) ([]Summed, error) {
	f, err := openRegular(filepath.Join(dir, SumsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnsummed
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSums+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSums {
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes", f.Name(), ErrCorrupt, maxSums)
	}
	all, err := parseSums(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return all, nil
}

// openRegular opens a file for reading; a FIFO of that name does not hang it, and a link is not followed.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w: it is no regular file", path, ErrCorrupt)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Verify reads all of the snapshot in a folder and compares it with the checksums that were taken when it was saved. It returns how many bytes it compared. What is damaged
// wraps ErrCorrupt, a snapshot without checksums ErrUnsummed.
func Verify(dir string) (compared int64, err error) {
	f, err := openRegular(filepath.Join(dir, StateFile))
	if err != nil {
		return 0, fmt.Errorf("open a snapshot: %w", err)
	}
	defer f.Close()
	if _, _, err := Read(f); err != nil {
		return 0, err
	}
	all, err := readSums(dir)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if err := s.verify(filepath.Join(dir, s.Name)); err != nil {
			return compared, err
		}
		compared += s.Size
	}
	return compared, nil
}

// verify compares a file with its checksums.
func (s *Summed) verify(path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != s.Size {
		return fmt.Errorf("%s: %w: it has %d bytes and should have %d", path, ErrCorrupt, info.Size(), s.Size)
	}
	var (
		mu     sync.Mutex
		bad    int
		lowest = len(s.Sums)
	)
	err = eachUnit(f, s.Size, func(i int, sum uint32) {
		if sum != s.Sums[i] {
			mu.Lock()
			defer mu.Unlock()
			bad++
			lowest = min(lowest, i)
		}
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%s: %w: in %d of %d pieces of %d MiB, the first of them at %d MiB, it is not what was saved",
			path, ErrCorrupt, bad, len(s.Sums), memory.SumUnit>>20, int64(lowest)*memory.SumUnit>>20)
	}
	return err
}
