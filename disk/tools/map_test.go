package tools_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// TestMap checks that the extents of every format cover the disk, that neighbours are joined, and where the data lies in a chain.
func TestMap(t *testing.T) {
	for _, f := range formats.All() {
		t.Run(f.Name, func(t *testing.T) {
			d := dir(t)
			path := in(d, "disk"+f.Extensions[0])
			want := make([]byte, 200*mib)
			for _, at := range []int{70 * mib, 71 * mib, 150 * mib} {
				copy(want[at:], strings.Repeat("x", mib))
			}
			image(t, path, want, disk.CreateOptions{})
			at, data := int64(0), int64(0)
			var kinds []disk.ExtentKind
			must(t, tools.Map(t.Context(), open(t, path), func(e disk.Extent) error {
				if e.Offset != at || e.Length <= 0 || e.Depth != 0 {
					t.Errorf("%+v at %d", e, at)
				}
				at += e.Length
				if e.Kind == disk.Data {
					data += e.Length
				}
				kinds = append(kinds, e.Kind)
				return nil
			}))
			if at != int64(len(want)) || data < 3*mib || data > 128*mib || len(kinds) < 4 || len(kinds) > 9 {
				t.Errorf("%d bytes in %v, %d of data", at, kinds, data)
			}
		})
	}
}

func TestMapChain(t *testing.T) {
	d := dir(t)
	base := image(t, in(d, "base.vmdk"), append(make([]byte, 4*mib), mixed(4*mib, 1)...), disk.CreateOptions{})
	must(t, formats.Create(in(d, "top.vmdk"), disk.CreateOptions{Parent: base}))
	write(t, in(d, "top.vmdk"), []byte(strings.Repeat("y", 128<<10)), mib)
	top := open(t, in(d, "top.vmdk"))
	byDepth := map[int]int64{}
	must(t, tools.Map(t.Context(), top, func(e disk.Extent) error {
		if e.Kind == disk.Data {
			byDepth[e.Depth] += e.Length
		}
		return nil
	}))
	if byDepth[0] != 128<<10 || byDepth[1] == 0 || len(byDepth) != 2 {
		t.Errorf("data by depth: %v", byDepth)
	}
	stop := errors.New("enough")
	calls := 0
	if err := tools.Map(t.Context(), top, func(disk.Extent) error { calls++; return stop }); err != stop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tools.Map(ctx, top, func(disk.Extent) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}

	got, err := tools.Describe(in(d, "top.vmdk"), disk.OpenOptions{})
	must(t, err)
	if got.Format != "vmdk" || got.Used < 128<<10 || len(got.Chain) != 1 || got.Chain[0].Path != base || got.Chain[0].Used < mib {
		t.Errorf("%+v", got)
	}
}

// TestMapFragments has more extents than are asked for at once.
func TestMapFragments(t *testing.T) {
	d := dir(t)
	const n = 3000
	want := make([]byte, n*8192)
	for k := range n {
		want[k*8192+7] = 1
	}
	i := open(t, image(t, in(d, "many.raw"), want, disk.CreateOptions{}))
	var got []disk.Extent
	must(t, tools.Map(t.Context(), i, func(e disk.Extent) error {
		got = append(got, e)
		return nil
	}))
	if len(got) != 2*n {
		t.Fatalf("%d extents, want %d", len(got), 2*n)
	}
	for k, e := range got {
		want := disk.Extent{Offset: int64(k) * 4096, Length: 4096, Kind: disk.Data, Host: int64(k) * 4096}
		if k%2 == 1 {
			want.Kind, want.Host = disk.Hole, -1
		}
		if !reflect.DeepEqual(e, want) {
			t.Fatalf("%d: %+v, want %+v", k, e, want)
		}
	}
}

// TestCheck reports damage that keeps an image from opening, and returns other failures.
func TestCheck(t *testing.T) {
	d := dir(t)
	path := image(t, in(d, "a.vhd"), mixed(mib, 1), disk.CreateOptions{})
	r, err := tools.Check(path, disk.OpenOptions{})
	if err != nil || len(r.Problems) != 0 || r.Total == 0 {
		t.Errorf("a sound image: %+v, %v", r, err)
	}
	must(t, os.Truncate(path, 100))
	r, err = tools.Check(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if worst, any := r.Worst(); !any || worst != disk.Damage || r.Format != "vhd" || r.Problems[0].File != path {
		t.Errorf("a stump: %+v", r)
	}
	if _, err := tools.Check(in(d, "none.vhd"), disk.OpenOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if r, err := tools.Check(image(t, in(d, "a.raw"), nil, disk.CreateOptions{}), disk.OpenOptions{}); err != nil || r.Format != "raw" {
		t.Errorf("raw: %+v, %v", r, err)
	}
}
