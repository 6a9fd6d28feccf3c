package guest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk/guest"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// judge is another program's view of a file system in an image.
type judge struct {
	// check fails the test if the file system is not sound.
	check func(t *testing.T, image string)
	// files copies what the file system holds into a folder.
	files func(t *testing.T, image, folder string)
	// free is how many bytes the file system itself calls free.
	free func(t *testing.T, image string) int64
}

// prove overwrites all that Free yields with garbage, and has the judge find every file as it was. Free must have found nearly all there is.
func prove(t *testing.T, image, fileSystem string, j judge) {
	t.Helper()
	j.check(t, image)
	before := hashes(t, image, j)
	free := j.free(t, image)
	l := spoil(t, image)
	p := l.Partitions[0]
	if l.Scheme != "" || len(l.Partitions) != 1 || p.FileSystem != fileSystem || p.Reason != "" {
		t.Fatalf("scanned as %+v", l)
	}
	if p.Unused > free || p.Unused < free*95/100 {
		t.Errorf("%d bytes are free, %d were found", free, p.Unused)
	}
	j.check(t, image)
	after := hashes(t, image, j)
	if len(before) < 5 {
		t.Fatalf("only %d files", len(before))
	}
	for name, h := range before {
		if after[name] != h {
			t.Errorf("%s changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
}

// spoil scans an image and overwrites all that is free.
func spoil(t *testing.T, image string) *guest.Layout {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	l, err := guest.Scan(t.Context(), f, st.Size(), 512)
	must(t, err)
	garbage := bytes.Repeat([]byte("\xff\x5a"), mib/2)
	at := int64(-1)
	must(t, l.Free(t.Context(), func(off, n int64) error {
		if n < 1 || off <= at || off+n > st.Size() {
			t.Fatalf("%d bytes at %d, after what ended at %d", n, off, at)
		}
		at = off + n
		for n > 0 {
			k := min(n, mib)
			if _, err := f.WriteAt(garbage[:k], off); err != nil {
				return err
			}
			off, n = off+k, n-k
		}
		return nil
	}))
	return l
}

func hashes(t *testing.T, image string, j judge) map[string]string {
	t.Helper()
	folder := t.TempDir()
	j.files(t, image, folder)
	h := map[string]string{}
	must(t, filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		p, err := os.ReadFile(path)
		h[path[len(folder):]] = fmt.Sprintf("%x", sha256.Sum256(p))
		return err
	}))
	return h
}

// content makes a folder of files of all sizes and returns it with the names of those that the test shall delete again.
func content(t *testing.T, total int) (folder string, doomed []string) {
	t.Helper()
	folder = t.TempDir()
	rng := rand.New(rand.NewChaCha8([32]byte{byte(total)}))
	must(t, os.Mkdir(filepath.Join(folder, "sub"), 0o755))
	for k, left := 0, total; left > 0; k++ {
		n := min(left, []int{0, 1, 100, 3000, 5000, 40000, 300000, 1000000}[rng.IntN(8)])
		left -= max(n, 1000)
		name := fmt.Sprintf("f%03d.bin", k)
		if k%3 == 1 {
			doomed = append(doomed, name)
		} else if k%3 == 2 {
			name = "sub/" + name
		}
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		must(t, os.WriteFile(filepath.Join(folder, name), p, 0o644))
	}
	return folder, doomed
}

// blank makes an empty image file.
func blank(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, size))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// change is what a test does to a sound volume: to its bytes, or by a program.
type change struct {
	bytes   func(p []byte)
	program func(image string)
}

// judged scans a volume after a change, in memory.
func judged(t *testing.T, volume []byte, c change) guest.Partition {
	t.Helper()
	p := bytes.Clone(volume)
	if c.program != nil {
		image := filepath.Join(t.TempDir(), "disk.img")
		must(t, os.WriteFile(image, p, 0o600))
		c.program(image)
		var err error
		p, err = os.ReadFile(image)
		must(t, err)
	}
	if c.bytes != nil {
		c.bytes(p)
	}
	l, err := guest.Scan(t.Context(), bytes.NewReader(p), int64(len(p)), 512)
	must(t, err)
	must(t, l.Free(t.Context(), func(off, n int64) error { return nil }))
	return l.Partitions[0]
}
