package vmlinux_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/boot/internal/kerneltest"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/vmlinux"
)

// kernel is an ELF file of a few blocks that compresses about as well as code does.
var kernel = func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 500)
	for i := range words {
		words[i] = make([]byte, 3+r.IntN(30))
		for j := range words[i] {
			words[i][j] = byte(r.Uint32())
		}
	}
	b := []byte("\x7fELF\x02\x01\x01")
	for len(b) < 9<<20 {
		b = append(b, words[r.IntN(len(words))]...)
	}
	return append(b, make([]byte, 100_000)...)
}()

// sized appends what the kernel's build appends: the unpacked size.
func sized(packed []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(packed), uint32(n))
}

func image(packed []byte) payload.File {
	return kerneltest.File("bzImage", kerneltest.BzImage{Payload: packed}.Bytes())
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

// piped compresses data by a program of the host, as the kernel's build does.
func piped(t *testing.T, data []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExtract(t *testing.T) {
	for _, c := range []struct {
		name string
		pack func(t *testing.T) []byte
	}{
		{"gzip", func(t *testing.T) []byte { return gzipped(t, kernel) }},
		{"zstd", func(t *testing.T) []byte { return zstded(t, kernel) }},
		{"xz with branch filter", func(t *testing.T) []byte {
			return piped(t, kernel, "xz", "-0", "-c", "--check=crc32", "--x86", "--lzma2=preset=0,dict=32MiB")
		}},
		{"bzip2", func(t *testing.T) []byte { return piped(t, kernel, "bzip2", "-1", "-c") }},
		{"lz4", func(t *testing.T) []byte { return piped(t, kernel, "lz4", "-l", "-9", "-c") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := vmlinux.Extract(&out, image(sized(c.pack(t), len(kernel))))
			if err != nil || n != int64(len(kernel)) || !bytes.Equal(out.Bytes(), kernel) {
				t.Errorf("%d of %d bytes, %v", n, len(kernel), err)
			}
		})
	}
}

func TestExtractRefuses(t *testing.T) {
	small := kernel[:5000]
	packed := gzipped(t, small)
	damaged := bytes.Clone(packed)
	damaged[len(damaged)/2] ^= 0xFF
	for _, c := range []struct {
		name    string
		payload []byte
	}{
		{"no payload", nil},
		{"size only", []byte{1, 0, 0, 0}},
		{"unknown compression", sized([]byte("what is this"), 5)},
		{"damaged", sized(damaged, len(small))},
		{"truncated", sized(packed[:len(packed)-20], len(small))},
		{"not ELF", sized(gzipped(t, []byte("no ELF file")), 11)},
		{"larger than promised", sized(packed, len(small)-1)},
		{"smaller than promised", sized(packed, len(small)+1)},
		{"promises 2 GiB", sized(packed, 2<<30)},
		{"bomb", sized(gzipped(t, append(bytes.Clone(small), make([]byte, 64<<20)...)), len(small))},
		{"lz4 block too big", sized([]byte("\x02\x21\x4c\x18\xff\xff\xff\x7f"), 100)},
		{"lz4 match before the start", sized([]byte("\x02\x21\x4c\x18\x04\x00\x00\x00\x10\x7f\x02\x00"), 100)},
		{"lz4 length without end", sized([]byte("\x02\x21\x4c\x18\x04\x00\x00\x00\xf0\xff\xff\xff"), 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, err := vmlinux.Extract(io.Discard, image(c.payload)); !errors.Is(err, payload.ErrMalformed) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestExtractWriteFails(t *testing.T) {
	_, err := vmlinux.Extract(fullDisk{}, image(sized(gzipped(t, kernel), len(kernel))))
	if !errors.Is(err, io.ErrShortWrite) || errors.Is(err, payload.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// counter counts what reaches it, so that a bomb shows.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func FuzzExtract(f *testing.F) {
	small := []byte("\x7fELF and a little more, a little more, a little more of it")
	f.Add(sized(gzipped(f, small), len(small)))
	f.Add(sized(zstded(f, small), len(small)))
	f.Add(sized([]byte("\x02\x21\x4c\x18\x0c\x00\x00\x00\x4f\x7fELF\x04\x00\x01\x50hello"), 29))
	f.Fuzz(func(t *testing.T, packed []byte) {
		var got counter
		n, err := vmlinux.Extract(&got, image(packed))
		if err == nil && n != int64(got) || got > 1<<30+1 {
			t.Errorf("said %d bytes, wrote %d, %v", n, got, err)
		}
	})
}
