package state

import (
	"bytes"
	"errors"
	"testing"
)

func TestPages(t *testing.T) {
	mem := make([]byte, 5*PageSize)
	mem[0], mem[3*PageSize-1], mem[len(mem)-1] = 1, 2, 3
	var w Writer
	w.Pages(mem)
	w.Pages(nil)
	if n := len(w.Data()); n != 3*(4+PageSize)+4+4 {
		t.Errorf("%d bytes for three pages", n)
	}
	got := make([]byte, len(mem))
	r := NewReader(w.Data())
	r.Pages(got)
	r.Pages(nil)
	if r.Err() != nil || !bytes.Equal(got, mem) {
		t.Error("memory changed", r.Err())
	}
	var backwards Writer
	for _, page := range []uint32{3, 3} {
		backwards.U32(page)
		backwards.buf = append(backwards.buf, mem[:PageSize]...)
	}
	var outside Writer
	outside.U32(6)
	for name, data := range map[string][]byte{"empty": nil, "cut": w.Data()[:PageSize], "a page twice": backwards.Data(), "a page outside": outside.Data()} {
		r := NewReader(data)
		if r.Pages(got); !errors.Is(r.Err(), ErrCorrupt) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
}
