package debian

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// bzImage wraps a payload as the kernel's build does.
func bzImage(payload []byte) []byte {
	const setupSects = 3
	b := make([]byte, (setupSects+1)*512+64)
	b[0x1f1] = setupSects
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(b[0x248:], 64)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)+4))
	b = append(b, payload...)
	return append(b, 0, 0, 0, 0) // where the uncompressed size stands
}

var kernelELF = append([]byte("\x7fELF"), bytes.Repeat([]byte("kernel "), 5000)...)

func TestExtractELF(t *testing.T) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(kernelELF)
	w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	payloads := map[string][]byte{"gzip": gz.Bytes(), "zstd": z.EncodeAll(kernelELF, nil)}
	if _, err := exec.LookPath("xz"); err == nil {
		cmd := exec.Command("xz", "--stdout")
		cmd.Stdin = bytes.NewReader(kernelELF)
		if payloads["xz"], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	}
	for name, p := range payloads {
		got, err := ExtractELF(t.Context(), bzImage(p))
		if err != nil || !bytes.Equal(got, kernelELF) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestExtractELFRefuses(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := bzImage(z.EncodeAll(kernelELF, nil))
	changed := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	for name, image := range map[string][]byte{
		"empty":             nil,
		"no header":         changed(0x202, 'X'),
		"old protocol":      changed(0x206, 0, 2),
		"payload too far":   changed(0x248, 0xff, 0xff, 0xff, 0xff),
		"payload too long":  changed(0x24c, 0xff, 0xff, 0xff, 0xff),
		"payload too short": changed(0x24c, 3, 0, 0, 0),
		"truncated":         good[:len(good)-100],
		"unknown packing":   bzImage([]byte("something else entirely")),
		"not a kernel":      bzImage(z.EncodeAll([]byte("hello"), nil)),
	} {
		if _, err := ExtractELF(t.Context(), image); !errors.Is(err, ErrNotKernel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLZ4(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want string // "" stands for an error
	}{
		"literals":             {"\x06\x00\x00\x00\x50hello", "hello"},
		"match":                {"\x08\x00\x00\x00\x32abc\x03\x00\x10d", "abcabcabcd"},
		"overlapping":          {"\x07\x00\x00\x00\x1fa\x01\x00\x02\x10b", "aaaaaaaaaaaaaaaaaaaaaab"},
		"long literals":        {"\x14\x00\x00\x00\xf0\x03" + "123456789012345678", "123456789012345678"},
		"two blocks":           {"\x02\x00\x00\x00\x10a\x02\x00\x00\x00\x10b", "ab"},
		"offset 0":             {"\x06\x00\x00\x00\x12a\x00\x00\x10b", ""},
		"offset too far":       {"\x06\x00\x00\x00\x12a\x02\x00\x10b", ""},
		"reaching back":        {"\x02\x00\x00\x00\x10a\x05\x00\x00\x00\x02\x01\x00\x10b", ""},
		"block too long":       {"\x09\x00\x00\x00\x50hello", ""},
		"literals too long":    {"\x03\x00\x00\x00\x50he", ""},
		"half a size":          {"\x09\x00", ""},
		"half an offset":       {"\x03\x00\x00\x00\x12a\x01", ""},
		"length without end":   {"\x03\x00\x00\x00\xf0\xff\xff", ""},
		"beyond the limit":     {"\x09\x00\x00\x00\x1fa\x01\x00\xff\xff\xff\x00\x10", ""},
		"literals past limits": {"\x14\x00\x00\x00\xf0\x03" + "123456789012345678" + "\x14\x00\x00\x00\xf0\x03" + "123456789012345678", ""},
	} {
		got, err := unlz4([]byte(c.in), 32)
		if (err != nil) != (c.want == "") || string(got) != c.want && err == nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// FuzzLZ4: whatever comes in, no more than the limit comes out.
func FuzzLZ4(f *testing.F) {
	f.Add([]byte("\x08\x00\x00\x00\x32abc\x03\x00\x10d"))
	f.Add([]byte("\x09\x00\x00\x00\x1fa\x01\x00\x02\x10b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		if out, err := unlz4(b, limit); err == nil && len(out) > limit {
			t.Errorf("%d bytes came out", len(out))
		}
	})
}
