package state

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var w Writer
	w.Version("device", 3)
	w.U8(0x12)
	w.Bool(true)
	w.Bool(false)
	w.U16(0x1234)
	w.U32(0x12345678)
	w.U64(0x123456789abcdef0)
	w.Bytes([]byte("payload"))
	w.Bytes(nil)
	r := NewReader(w.Data())
	if v := r.Version("device", 3); v != 3 {
		t.Error("version", v)
	}
	if r.U8() != 0x12 || !r.Bool() || r.Bool() || r.U16() != 0x1234 || r.U32() != 0x12345678 || r.U64() != 0x123456789abcdef0 {
		t.Error("a number changed")
	}
	if p := r.Bytes(7); string(p) != "payload" {
		t.Errorf("%q", p)
	}
	if p := r.Bytes(0); len(p) != 0 || r.Err() != nil {
		t.Error(p, r.Err())
	}
	if r.U8(); r.Err() == nil {
		t.Error("read past the end")
	}
}

func TestCorrupt(t *testing.T) {
	name := func(n string, v uint16) []byte {
		var w Writer
		w.Version(n, v)
		return w.Data()
	}
	for _, test := range []struct {
		name string
		data []byte
		read func(*Reader)
		want string
	}{
		{"empty", nil, func(r *Reader) { r.U64() }, "8 bytes wanted, 0 left"},
		{"short", []byte{1, 2, 3}, func(r *Reader) { r.U32() }, "4 bytes wanted, 3 left"},
		{"flag", []byte{2}, func(r *Reader) { r.Bool() }, "flag is 2"},
		{"field too long for the caller", []byte{8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, func(r *Reader) { r.Bytes(7) }, "at most 7"},
		{"field too long for the data", []byte{8, 0, 0, 0, 1}, func(r *Reader) { r.Bytes(8) }, "8 bytes wanted, 1 left"},
		{"field too long for anybody", []byte{0xff, 0xff, 0xff, 0xff}, func(r *Reader) { r.Bytes(math.MaxInt) }, "4294967295"},
		{"another device", name("disk", 1), func(r *Reader) { r.Version("card", 1) }, `"disk" where "card"`},
		{"newer", name("disk", 3), func(r *Reader) { r.Version("disk", 2) }, "version 3"},
		{"version 0", name("disk", 0), func(r *Reader) { r.Version("disk", 2) }, "version 0"},
		{"the caller's", nil, func(r *Reader) { r.Fail("size %d", 7) }, "size 7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewReader(test.data)
			test.read(r)
			first := r.Err()
			if !errors.Is(first, ErrCorrupt) || !strings.Contains(first.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", first, test.want)
			}
			r.Fail("later")
			if r.U8() != 0 || r.U64() != 0 || r.Bytes(1) != nil || r.Err() != first {
				t.Fatal("the first failure does not stick")
			}
		})
	}
}

// FuzzReader reads fields of arbitrary kinds from arbitrary data: they never hold more than there is, and what was read writes back
// as the same bytes.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5}, []byte{1, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 2, 0, 0, 0, 9, 9})
	f.Add([]byte{5, 5}, []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, kinds, data []byte) {
		r := NewReader(data)
		var w Writer
		for _, k := range kinds {
			before := len(w.Data())
			switch k % 6 {
			case 0:
				w.U8(r.U8())
			case 1:
				w.Bool(r.Bool())
			case 2:
				w.U16(r.U16())
			case 3:
				w.U32(r.U32())
			case 4:
				w.U64(r.U64())
			case 5:
				w.Bytes(r.Bytes(1 << 10))
			}
			if r.Err() != nil {
				if !errors.Is(r.Err(), ErrCorrupt) {
					t.Fatal(r.Err())
				}
				w.buf = w.buf[:before]
				break
			}
		}
		if !bytes.HasPrefix(data, w.Data()) {
			t.Fatalf("read %x, wrote %x", data, w.Data())
		}
	})
}
