package tools_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// FuzzTools gives arbitrary files to every tool: each refuses them with one line, or all agree on what they hold.
func FuzzTools(f *testing.F) {
	all := formats.All()
	for k, format := range all {
		for _, v := range append(format.Variants, "") {
			d := dir(f)
			path := image(f, in(d, "seed"+format.Extensions[0]), mixed(300<<10, uint64(k)), disk.CreateOptions{Variant: v})
			p, err := os.ReadFile(path)
			must(f, err)
			if len(p) <= 2*mib {
				f.Add(byte(k), p)
			}
		}
	}
	const largest = 64 * mib
	f.Fuzz(func(t *testing.T, which byte, p []byte) {
		format := all[int(which)%len(all)]
		d := disktest.Dir(t)
		name := "in" + format.Extensions[0]
		must(t, os.WriteFile(in(d, name), p, 0o600))
		if _, err := tools.Check(in(d, name), disk.OpenOptions{}); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("check: not one line: %v", err)
		}
		info, err := tools.Describe(in(d, name), disk.OpenOptions{})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %v", err)
			}
			_, err := tools.Convert(t.Context(), in(d, name), in(d, "out.qcow2"), tools.ConvertOptions{})
			if err == nil {
				t.Error("convert opened what describe refused")
			}
			only(t, d, name)
			return
		}
		if info.Size > largest {
			return
		}
		r, err := tools.Convert(t.Context(), in(d, name), in(d, "out.qcow2"), tools.ConvertOptions{Verify: true})
		if err != nil {
			only(t, d, name)
			return
		}
		src, dst := open(t, in(d, name)), open(t, in(d, "out.qcow2"))
		if diff, err := tools.Compare(t.Context(), src, dst, tools.CompareOptions{Pad: true}); err != nil || diff != nil {
			t.Errorf("%+v, %v", diff, err)
		}
		at := int64(0)
		must(t, tools.Map(t.Context(), src, func(e disk.Extent) error {
			if e.Offset != at || e.Length <= 0 {
				t.Errorf("%+v at %d", e, at)
			}
			at += e.Length
			return nil
		}))
		if at != src.Size() || r.Size != at {
			t.Errorf("the map ends at %d of %d", at, src.Size())
		}
	})
}
