package payload

import (
	"bytes"
	"testing"
)

// TestAppend reads a file with more behind it, in pieces of any size.
func TestAppend(t *testing.T) {
	for _, c := range []struct{ text, want string }{{"abcde", "abcde\x00\x00\x00more"}, {"abcd", "abcdmore"}, {"", "more"}} {
		f := File{Name: "x", Data: bytes.NewReader([]byte(c.text)), Size: int64(len(c.text))}.Append([]byte("more"), 4)
		if f.Size != int64(len(c.want)) {
			t.Errorf("%q has %d bytes", c.want, f.Size)
		}
		for off := range len(c.want) {
			for end := off; end <= len(c.want); end++ {
				b := make([]byte, end-off)
				if err := f.ReadAt(b, int64(off)); err != nil || string(b) != c.want[off:end] {
					t.Errorf("%d to %d: %q, %v", off, end, b, err)
				}
			}
		}
		if err := f.ReadAt(make([]byte, 2), f.Size-1); err == nil {
			t.Error("more is read than there is")
		}
	}
	cut := File{Data: bytes.NewReader([]byte("abc")), Size: 8}.Append([]byte("more"), 4) // by somebody, since its size was looked at
	if err := cut.ReadAt(make([]byte, 8), 0); err == nil {
		t.Error("a file's missing end is made up")
	}
}
