package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestPages(t *testing.T) {
	mem := make([]byte, 6*PageSize)
	mem[0], mem[3*PageSize-1], mem[4*PageSize-1], mem[len(mem)-1] = 1, 2, 3, 4
	for name, aside := range map[string]*os.File{"inside": nil, "aside": file(t)} {
		t.Run(name, func(t *testing.T) {
			var w Writer
			if aside != nil {
				w.Aside = NewAside(aside)
			}
			w.Pages(mem)
			w.Pages(nil)
			w.Pages(mem[5*PageSize:])
			n, held := len(w.Data()), 5*PageSize
			if aside != nil {
				n += held
			}
			if runs := 4; n != held+runs*8+3*4 || w.Aside.Err() != nil {
				t.Errorf("%d bytes for five pages, %v", n, w.Aside.Err())
			}
			got := make([]byte, len(mem))
			last := make([]byte, PageSize)
			r := NewReader(w.Data())
			if aside != nil {
				r.Aside = NewAside(aside)
			}
			r.Pages(got)
			r.Pages(nil)
			r.Pages(last)
			if r.Err() != nil || !bytes.Equal(got, mem) || last[PageSize-1] != 4 {
				t.Error("memory changed", r.Err())
			}
			if aside == nil {
				return
			}
			if err := aside.Truncate(4 * PageSize); err != nil {
				t.Fatal(err)
			}
			r = NewReader(w.Data())
			r.Aside = NewAside(aside)
			r.Pages(got)
			r.Pages(nil)
			if r.Pages(last); !errors.Is(r.Err(), ErrCorrupt) {
				t.Errorf("a file that was cut off: %v", r.Err())
			}
		})
	}
}

// TestPagesLater fills memory beside the reading of what follows, and fails at once where the file is too short.
func TestPagesLater(t *testing.T) {
	mem := make([]byte, 6*PageSize)
	mem[0], mem[3*PageSize-1], mem[4*PageSize-1] = 1, 2, 3
	for name, aside := range map[string]*os.File{"inside": nil, "aside": file(t)} {
		t.Run(name, func(t *testing.T) {
			var w Writer
			if aside != nil {
				w.Aside = NewAside(aside)
			}
			w.Pages(mem)
			w.Pages(mem[2*PageSize:])
			w.U8(7)
			r := NewReader(w.Data())
			gate := &gated{File: aside, open: make(chan struct{})}
			if aside != nil {
				r.Aside = NewAside(gate)
			}
			got := [][]byte{make([]byte, len(mem)), make([]byte, 4*PageSize)}
			filled := make(chan error, len(got))
			for _, p := range got {
				r.PagesLater(p, func(err error) { filled <- err })
			}
			if r.U8() != 7 || r.Err() != nil {
				t.Errorf("what follows is lost: %v", r.Err())
			}
			if aside != nil && len(filled) > 0 {
				t.Error("filled before it was read")
			}
			close(gate.open)
			for range got {
				if err := <-filled; err != nil {
					t.Error(err)
				}
			}
			if !bytes.Equal(got[0], mem) || !bytes.Equal(got[1], mem[2*PageSize:]) {
				t.Error("memory changed")
			}
			if aside == nil {
				return
			}
			r.Aside.Wait()
			if err := aside.Truncate(4*PageSize - 1); err != nil {
				t.Fatal(err)
			}
			r = NewReader(w.Data())
			r.Aside = NewAside(aside)
			for _, p := range got {
				r.PagesLater(p, func(err error) { filled <- err })
			}
			r.Aside.Wait()
			if !errors.Is(r.Err(), ErrCorrupt) || len(filled) != 1 {
				t.Errorf("a file that was cut off in the second part: %v, %d parts are filled", r.Err(), len(filled))
			}
		})
	}
}

// gated is a file whose pages come when it is open.
type gated struct {
	*os.File
	open chan struct{}
}

func (g *gated) ReadAt(p []byte, off int64) (int, error) {
	if len(p) >= PageSize {
		<-g.open
	}
	return g.File.ReadAt(p, off)
}

func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPagesHostile(t *testing.T) {
	mem := make([]byte, 5*PageSize)
	runs := func(numbers ...uint32) []byte {
		var w Writer
		for i := 0; i < len(numbers); i += 2 {
			w.U32(numbers[i])
			w.U32(numbers[i+1])
			w.buf = append(w.buf, make([]byte, int(min(numbers[i+1], 5))*PageSize)...)
		}
		w.U32(5)
		return w.Data()
	}
	whole := runs(0, 5)
	for name, data := range map[string][]byte{
		"empty": nil, "cut": whole[:PageSize], "a page twice": runs(2, 2, 3, 1), "backwards": runs(3, 1, 1, 1), "outside": runs(6, 1), "beyond the end": runs(4, 2),
		"nothing": runs(1, 0), "all there are": runs(1, 1<<32-1),
	} {
		r := NewReader(data)
		if r.Pages(mem); !errors.Is(r.Err(), ErrCorrupt) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
}
