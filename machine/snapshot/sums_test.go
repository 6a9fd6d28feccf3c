package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
)

// saveSummed makes the folder of a snapshot with a memory of two and a half units, the middle one a hole, and checksums.
func saveSummed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	_, state := sample(t)
	if err := os.WriteFile(filepath.Join(dir, StateFile), state, 0o600); err != nil {
		t.Fatal(err)
	}
	var all []Summed
	for _, name := range []string{MemoryFile, PagesFile} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if name == MemoryFile {
			for _, at := range []int64{100, 2*memory.SumUnit + 7} {
				if _, err := f.WriteAt([]byte("what the guest had there"), at); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Truncate(5 * memory.SumUnit / 2); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Sum(name, f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	var b bytes.Buffer
	if err := WriteSums(&b, all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, SumsFile), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestVerify changes single bytes, at the ends of units and in a hole, cuts files, and leaves some out.
func TestVerify(t *testing.T) {
	flip := func(at int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, MemoryFile), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var b [1]byte
			if _, err := f.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0x40
			if _, err := f.WriteAt(b[:], at); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(name string, size int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const unit = memory.SumUnit
	for _, test := range []struct {
		name  string
		spoil func(*testing.T, string)
		is    error
		want  string
	}{
		{"whole", func(*testing.T, string) {}, nil, ""},
		{"first byte", flip(0), ErrCorrupt, "in 1 of 3 pieces of 2 MiB, the first of them at 0 MiB"},
		{"last byte of a unit", flip(unit - 1), ErrCorrupt, "the first of them at 0 MiB"},
		{"in a hole", flip(unit + unit/2), ErrCorrupt, "the first of them at 2 MiB"},
		{"last byte", flip(5*unit/2 - 1), ErrCorrupt, "the first of them at 4 MiB"},
		{"two", func(t *testing.T, dir string) { flip(2*unit)(t, dir); flip(unit)(t, dir) }, ErrCorrupt, "in 2 of 3 pieces of 2 MiB, the first of them at 2 MiB"},
		{"cut", cut(MemoryFile, 2*unit), ErrCorrupt, "it has 4194304 bytes and should have 5242880"},
		{"without pages", remove(PagesFile), os.ErrNotExist, PagesFile},
		{"without checksums", remove(SumsFile), ErrUnsummed, "older vmm"},
		{"checksums cut", cut(SumsFile, 20), ErrCorrupt, SumsFile},
		{"state cut", cut(StateFile, 20), ErrCorrupt, StateFile},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := saveSummed(t)
			test.spoil(t, dir)
			n, err := Verify(dir)
			switch {
			case test.is == nil && (err != nil || n != 5*unit/2):
				t.Errorf("%d bytes compared, %v", n, err)
			case test.is != nil && (!errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestSumsDamaged has every byte of the checksums changed, and every shorter file.
func TestSumsDamaged(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(saveSummed(t), SumsFile))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		for _, b := range [][]byte{bad, b[:i]} {
			if _, err := parseSums(b); !errors.Is(err, ErrCorrupt) {
				t.Errorf("damaged at byte %d: %v", i, err)
			}
		}
	}
}

// TestSumsOfMany has a small file tell of a great many files: each of them would cost memory twenty times what it takes in the file.
func TestSumsOfMany(t *testing.T) {
	for _, entry := range []string{"{}", `{"Name":"a"}`} {
		list := []byte("[" + entry + strings.Repeat(","+entry, 1<<20) + "]")
		b := binary.LittleEndian.AppendUint32([]byte(sumsMagic), crc32.Checksum(list, castagnoli))
		b = append(b, list...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := parseSums(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v", err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(2*len(b)) {
			t.Errorf("it takes %d bytes to refuse %d", took, len(b))
		}
	}
}

func FuzzParseSums(f *testing.F) {
	var b bytes.Buffer
	if err := WriteSums(&b, []Summed{{Name: MemoryFile, Size: 1, Sums: []uint32{7}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseSums(b)
		for _, s := range all {
			if err != nil || len(s.Sums) != units(s.Size) {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}
