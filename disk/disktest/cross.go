package disktest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Peer is how qemu sees a [Subject].
type Peer struct {
	Format  string   // qemu's name
	Options []string // for qemu-img create, such as "-o", "subformat=fixed"
	Check   bool     // qemu-img can check the format
	// Exact says that qemu keeps any multiple of 512 as the size; otherwise whole MiB are tried only.
	Exact bool
	// ReadOnly says that qemu cannot write to images of the format, other than making one of a whole disk.
	ReadOnly bool
}

// Cross has qemu read and continue what s wrote, and s what qemu wrote.
func Cross(t *testing.T, s Subject, p Peer) {
	sizes := []int64{mib, 8 * mib, 70 * mib}
	if p.Exact {
		sizes = append(sizes, 512, 5*mib+512, 3*mib-1024)
	}
	t.Run("ours", func(t *testing.T) {
		for _, size := range sizes {
			crossOurs(t, s, p, size)
		}
	})
	t.Run("theirs", func(t *testing.T) {
		for _, size := range sizes {
			crossTheirs(t, s, p, size)
		}
	})
}

// scatter writes to about a third of the image in pieces of all sizes, and notes it in want.
func scatter(t *testing.T, i disk.Image, want []byte, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	m := model{want: want, rng: rng}
	for written := 0; written <= len(want)/4; {
		off, n := m.span()
		m.fill(want[off : off+n])
		if _, err := i.WriteAt(want[off:off+n], off); err != nil {
			t.Fatal(err)
		}
		written += int(n)
	}
}

// saved writes want to a raw file.
func saved(t *testing.T, want []byte) string {
	t.Helper()
	path := filepath.Join(Dir(t), "want.raw")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func crossOurs(t *testing.T, s Subject, p Peer, size int64) {
	img, io := FindTool(t, "qemu-img", "qemu-utils"), FindTool(t, "qemu-io", "qemu-utils")
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	want := make([]byte, size)
	scatter(t, i, want, 1)
	s.closeClean(t, i, path)
	p.judge(img, path, saved(t, want))

	// qemu goes on where we stopped, and we read that.
	if !p.ReadOnly {
		io.Run("-f", p.Format, "-c", "write -P 0x5a 0 512", path)
		for k := range want[:512] {
			want[k] = 0x5a
		}
	}
	i = s.open(t, path, disk.OpenOptions{})
	same(t, i, want)
	scatter(t, i, want, 2)
	s.closeClean(t, i, path)
	p.judge(img, path, saved(t, want))
}

func crossTheirs(t *testing.T, s Subject, p Peer, size int64) {
	img, io := FindTool(t, "qemu-img", "qemu-utils"), FindTool(t, "qemu-io", "qemu-utils")
	want := make([]byte, size)
	m := model{want: want, rng: rand.New(rand.NewPCG(5, 5))}
	for range 6 {
		off, n := m.span()
		m.fill(want[off : off+n])
	}
	path := filepath.Join(Dir(t), s.File)
	img.Run(append(append([]string{"convert", "-q", "-f", "raw", "-O", p.Format}, p.Options...), saved(t, want), path)...)
	if size >= 2*mib && !p.ReadOnly {
		io.Run("-f", p.Format, "-c", "write -P 0x77 1048576 4096", path)
		copy(want[mib:], bytes.Repeat([]byte{0x77}, 4096))
	}
	i := s.open(t, path, disk.OpenOptions{})
	same(t, i, want)
	scatter(t, i, want, 3)
	s.closeClean(t, i, path)
	p.judge(img, path, saved(t, want))
}

func (p Peer) judge(img Tool, path, want string) {
	img.t.Helper()
	if p.Check {
		img.Run("check", "-q", "-f", p.Format, path)
	}
	// compare accepts a different size if the rest is zero, so the size is looked at by itself.
	st, err := os.Stat(want)
	if err != nil {
		img.t.Fatal(err)
	}
	if out := img.Run("info", "--output=json", "-f", p.Format, path); !strings.Contains(out, fmt.Sprintf(`"virtual-size": %d,`, st.Size())) {
		img.t.Fatalf("qemu-img sees another size than %d:\n%s", st.Size(), out)
	}
	img.Run("compare", "-f", p.Format, "-F", "raw", path, want)
}

func same(t *testing.T, i disk.Image, want []byte) {
	t.Helper()
	if i.Size() != int64(len(want)) {
		t.Fatalf("%s: size %d, want %d", i.Info().Path, i.Size(), len(want))
	}
	got := make([]byte, len(want))
	if _, err := i.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if k := mismatch(got, want); k >= 0 {
		t.Fatalf("%s: byte %d reads as %#x, want %#x", i.Info().Path, k, got[k], want[k])
	}
}
