package tools_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

func TestCompare(t *testing.T) {
	const size = 5*mib + 512
	base := mixed(size, 1)
	changed := func(at ...int) []byte {
		p := append([]byte(nil), base...)
		for _, k := range at {
			p[k] ^= 0x40
		}
		return p
	}
	zero := make([]byte, size)
	for _, c := range []struct {
		name string
		a, b []byte
		pad  bool
		want int64 // -1: the same
		size bool
	}{
		{"same", base, base, false, -1, false},
		{"first byte", base, changed(0), false, 0, false},
		{"last byte", base, changed(size - 1), false, size - 1, false},
		{"before a piece's end", base, changed(mib - 1), false, mib - 1, false},
		{"after a piece's end", base, changed(mib), false, mib, false},
		{"the first of many", base, changed(4*mib+5, 2*mib+7, 3*mib, size-1), false, 2*mib + 7, false},
		{"hole and zeroes", zero, make([]byte, size), false, -1, false},
		{"hole and a byte", zero, append(make([]byte, size-1), 1), false, size - 1, false},
		{"shorter", base[:4*mib], base, false, 4 * mib, true},
		{"shorter, and different before", base[:4*mib], changed(3 * mib), false, 3 * mib, false},
		{"padded with what is not zero", base[:4*mib], base, true, size - 1, false},
		{"padded", base[:mib], append(append([]byte(nil), base[:mib]...), make([]byte, 3*mib)...), true, -1, false},
		{"empty", nil, nil, false, -1, false},
		{"empty and padded", nil, make([]byte, mib), true, -1, false},
	} {
		if c.name == "padded with what is not zero" {
			c.want = -1
			for k := 4 * mib; k < size && c.want < 0; k++ {
				if base[k] != 0 {
					c.want = int64(k)
				}
			}
		}
		t.Run(c.name, func(t *testing.T) {
			d := dir(t)
			a := open(t, image(t, in(d, "a.raw"), c.a, disk.CreateOptions{}))
			for _, name := range []string{"b.raw", "b.vmdk", "b.qcow2"} {
				if len(c.b) == 0 && name != "b.raw" {
					continue
				}
				b := open(t, image(t, in(d, name), c.b, disk.CreateOptions{}))
				for _, pair := range [][2]disk.Image{{a, b}, {b, a}} {
					got, err := tools.Compare(t.Context(), pair[0], pair[1], tools.CompareOptions{Pad: c.pad})
					switch {
					case err != nil:
						t.Fatal(err)
					case c.want < 0 && got != nil:
						t.Errorf("%s: differ at %+v", name, *got)
					case c.want >= 0 && (got == nil || *got != tools.Difference{Offset: c.want, Sizes: c.size}):
						t.Errorf("%s: %+v, want %d", name, got, c.want)
					}
				}
			}
		})
	}
}

func TestCompareFails(t *testing.T) {
	d := dir(t)
	a := open(t, image(t, in(d, "a.vmdk"), mixed(24*mib, 1), disk.CreateOptions{}))
	image(t, in(d, "b.raw"), mixed(24*mib, 1), disk.CreateOptions{})
	b, err := formats.Open(in(d, "b.raw"), disk.OpenOptions{ReadOnly: true, Files: failing{beyond: 9 * mib}})
	must(t, err)
	defer b.Close()
	if got, err := tools.Compare(t.Context(), a, b, tools.CompareOptions{}); got != nil || !errors.Is(err, errBadSector) {
		t.Errorf("%v, %v; want a bad sector", got, err)
	}
	ctx, p := canceled(t)
	if got, err := tools.Compare(ctx, a, a, tools.CompareOptions{Progress: p}); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, %v", got, err)
	}
}
