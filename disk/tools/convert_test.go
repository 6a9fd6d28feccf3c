package tools_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// TestConvert converts between every format's usual variant and every variant of every format.
func TestConvert(t *testing.T) {
	want := mixed(5*mib+3*512, 1)
	for _, from := range formats.All() {
		for _, to := range formats.All() {
			for _, variant := range append(to.Variants, "") {
				t.Run(from.Name+" to "+to.Name+" "+variant, func(t *testing.T) {
					d := dir(t)
					src := image(t, in(d, "src"+from.Extensions[0]), want, disk.CreateOptions{})
					dst := in(d, "dst"+to.Extensions[0])
					steps := 0
					r, err := tools.Convert(t.Context(), src, dst, tools.ConvertOptions{
						Out: disk.CreateOptions{Variant: variant}, Verify: true,
						Copying: func(done, total int64) {
							if steps++; total != int64(len(want)) || done > total {
								t.Errorf("progress %d of %d", done, total)
							}
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(content(t, dst, disk.OpenOptions{}), want) {
						t.Error("the contents differ")
					}
					i := open(t, dst)
					if info := i.Info(); info.Format != to.Name || variant != "" && info.Variant != variant {
						t.Errorf("made a %s %s", info.Format, info.Variant)
					}
					if r.Size != int64(len(want)) || r.Written >= r.Size || r.Written == 0 || steps < 3 {
						t.Errorf("%+v after %d steps", r, steps)
					}
					if report, err := formats.Check(dst, disk.OpenOptions{}); err != nil || len(report.Problems) > 0 {
						t.Errorf("check: %+v, %v", report, err)
					}
				})
			}
		}
	}
}

// TestConvertKeepsHoles checks that a page of zeroes, stored or not, takes no space in a raw file.
func TestConvertKeepsHoles(t *testing.T) {
	d := dir(t)
	want := make([]byte, 8*mib)
	for _, at := range []int{0, 2 * mib, 2*mib + 8192, 6*mib - 4096} {
		want[at+100] = 1
	}
	src, dst := in(d, "src.raw"), in(d, "dst.raw")
	if err := os.WriteFile(src, want, 0o600); err != nil { // zeroes written out
		t.Fatal(err)
	}
	r, err := tools.Convert(t.Context(), src, dst, tools.ConvertOptions{})
	if err != nil || r.Written != 4*4096 {
		t.Fatalf("%+v, %v; want 4 pages written", r, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dst, &st); err != nil || st.Blocks*512 > 16*4096 {
		t.Errorf("the file takes %d bytes: %v", st.Blocks*512, err)
	}
	if !bytes.Equal(content(t, dst, disk.OpenOptions{}), want) {
		t.Error("the contents differ")
	}
}

// TestConvertChain flattens a chain of three images of different formats.
func TestConvertChain(t *testing.T) {
	d := dir(t)
	want := mixed(6*mib, 2)
	base := image(t, in(d, "base.vmdk"), want, disk.CreateOptions{})
	middle := in(d, "middle.vmdk")
	top := in(d, "top.qcow2")
	for _, c := range []struct{ path, parent string }{{middle, base}, {top, middle}} {
		if err := formats.Create(c.path, disk.CreateOptions{Parent: c.parent}); err != nil {
			t.Fatal(err)
		}
		patch := bytes.Repeat([]byte{byte(len(c.path))}, 70<<10)
		write(t, c.path, patch, mib+int64(len(c.path)))
		copy(want[mib+len(c.path):], patch)
	}
	if _, err := tools.Convert(t.Context(), top, in(d, "flat.vhdx"), tools.ConvertOptions{Verify: true}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, in(d, "flat.vhdx"), disk.OpenOptions{}), want) {
		t.Error("the contents differ")
	}
	for _, p := range []string{base, middle, top} {
		if _, err := tools.Convert(t.Context(), top, p, tools.ConvertOptions{Force: true}); !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), "being copied") {
			t.Errorf("convert to %s, which the image needs: %v", p, err)
		}
	}
}

// TestConvertSizes has sizes that the new format cannot hold exactly, or not at all.
func TestConvertSizes(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, mib - 1, mib + 1} {
		d := dir(t)
		want := mixed(size, 3)
		src := in(d, "src.raw")
		if err := os.WriteFile(src, want, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"dst.raw", "dst.vmdk", "dst.vhd", "dst.vhdx", "dst.vdi", "dst.qcow2"} {
			r, err := tools.Convert(t.Context(), src, in(d, name), tools.ConvertOptions{Verify: true})
			if err != nil {
				if size > 0 {
					t.Errorf("%d bytes to %s: %v", size, name, err)
				}
				continue // some formats have no empty disks
			}
			got := content(t, in(d, name), disk.OpenOptions{})
			rounded := size%512 != 0 && name != "dst.raw"
			if len(got) < size || !bytes.Equal(got[:size], want) || (len(got) > size) != rounded || (len(r.Warnings) > 0) != rounded {
				t.Errorf("%d bytes to %s: got %d, warnings %q", size, name, len(got), r.Warnings)
			}
		}
	}
}

// TestConvertSectors keeps sectors of 4 KiB where the format can, and says so where it cannot.
func TestConvertSectors(t *testing.T) {
	d := dir(t)
	src := image(t, in(d, "src.vhdx"), mixed(4*mib, 4), disk.CreateOptions{SectorSize: 4096})
	for name, warned := range map[string]bool{"dst.vhdx": false, "dst.vmdk": true, "dst.vhd": true} {
		r, err := tools.Convert(t.Context(), src, in(d, name), tools.ConvertOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if (len(r.Warnings) > 0) != warned || (open(t, in(d, name)).Info().SectorSize == 4096) == warned {
			t.Errorf("%s: %q, %+v", name, r.Warnings, open(t, in(d, name)).Info())
		}
	}
}

// TestConvertOverwrite checks what may stand in the way of a new image.
func TestConvertOverwrite(t *testing.T) {
	want := mixed(mib, 5)
	old := []byte("old")
	for _, c := range []struct {
		name, out, variant string
		prepare            func(t *testing.T, d string)
		force              bool
		want               error // nil: it works
	}{
		{"exists", "o.vmdk", "", put("o.vmdk", old), false, fs.ErrExist},
		{"forced", "o.vmdk", "", put("o.vmdk", old), true, nil},
		{"its extent exists", "o.vmdk", "monolithicFlat", put("o-flat.vmdk", old), false, fs.ErrExist},
		{"its extent is forced", "o.vmdk", "monolithicFlat", put("o-flat.vmdk", old), true, nil},
		{"folder", "o.vmdk", "", func(t *testing.T, d string) { must(t, os.Mkdir(in(d, "o.vmdk"), 0o700)) }, true, errAny},
		{"link", "o.vmdk", "", func(t *testing.T, d string) { must(t, os.Symlink("src.raw", in(d, "o.vmdk"))) }, true, errAny},
		{"itself", "src.raw", "", func(*testing.T, string) {}, true, disk.ErrLocked},
		{"itself by a link", "o.raw", "", func(t *testing.T, d string) { must(t, os.Link(in(d, "src.raw"), in(d, "o.raw"))) }, true, disk.ErrLocked},
		{"in use", "o.vmdk", "", func(t *testing.T, d string) {
			image(t, in(d, "o.vmdk"), want, disk.CreateOptions{})
			open(t, in(d, "o.vmdk"))
		}, true, disk.ErrLocked},
		{"no such folder", "none/o.vmdk", "", func(*testing.T, string) {}, false, fs.ErrNotExist},
		{"unknown format", "o.zip", "", func(*testing.T, string) {}, false, disk.ErrUnsupported},
		{"unknown variant", "o.vmdk", "monolithicFluffy", func(*testing.T, string) {}, false, errAny},
		{"killed before", "o.vmdk", "", func(t *testing.T, d string) {
			must(t, os.Mkdir(in(d, ".o.vmdk.part-123"), 0o700))
			put(".o.vmdk.part-123/o.vmdk", old)(t, d)
		}, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dir(t)
			put("src.raw", want)(t, d)
			c.prepare(t, d)
			before := tree(t, d)
			_, err := tools.Convert(t.Context(), in(d, "src.raw"), in(d, c.out), tools.ConvertOptions{Force: c.force, Out: disk.CreateOptions{Variant: c.variant}})
			if c.want == nil {
				if err != nil || !bytes.Equal(content(t, in(d, c.out), disk.OpenOptions{}), want) {
					t.Fatalf("%v, or the contents differ", err)
				}
				for name := range tree(t, d) {
					if strings.HasPrefix(name, ".") {
						t.Errorf("%s was left", name)
					}
				}
				return
			}
			if err == nil || c.want != errAny && !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if after := tree(t, d); len(after) != len(before) {
				t.Errorf("before %v, after %v", before, after)
			} else {
				for name, p := range before {
					if !bytes.Equal(after[name], p) {
						t.Errorf("%s changed", name)
					}
				}
			}
		})
	}
}

// TestConvertFails stops at half, at an unreadable place, and before it begins: nothing is left, and what was there stays.
func TestConvertFails(t *testing.T) {
	want := mixed(24*mib, 6)
	for _, c := range []struct {
		name  string
		ready func(t *testing.T, o *tools.ConvertOptions) context.Context
		want  error
	}{
		{"interrupted in copying", func(t *testing.T, o *tools.ConvertOptions) context.Context {
			ctx, p := canceled(t)
			o.Copying = p
			return ctx
		}, context.Canceled},
		{"interrupted in verifying", func(t *testing.T, o *tools.ConvertOptions) context.Context {
			ctx, p := canceled(t)
			o.Verify, o.Verifying = true, p
			return ctx
		}, context.Canceled},
		{"interrupted before", func(t *testing.T, _ *tools.ConvertOptions) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, context.Canceled},
		{"unreadable", func(t *testing.T, o *tools.ConvertOptions) context.Context {
			o.In.Files = failing{beyond: 17 * mib}
			return t.Context()
		}, errBadSector},
	} {
		for _, variant := range []string{"monolithicSparse", "monolithicFlat", "streamOptimized"} {
			t.Run(c.name+" "+variant, func(t *testing.T) {
				d := dir(t)
				put("src.raw", want)(t, d)
				put("o.vmdk", []byte("old"))(t, d)
				o := tools.ConvertOptions{Force: true, Out: disk.CreateOptions{Variant: variant}}
				ctx := c.ready(t, &o)
				if _, err := tools.Convert(ctx, in(d, "src.raw"), in(d, "o.vmdk"), o); !errors.Is(err, c.want) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				only(t, d, "o.vmdk", "src.raw")
				if p := tree(t, d)["o.vmdk"]; string(p) != "old" {
					t.Errorf("what was there is now %d bytes", len(p))
				}
			})
		}
	}
}

// TestConvertAtOnce lets two programs make the same image: neither disturbs the other's work, and one gets the name.
func TestConvertAtOnce(t *testing.T) {
	d := dir(t)
	put("src.raw", mixed(4*mib, 7))(t, d)
	var second error
	_, first := tools.Convert(t.Context(), in(d, "src.raw"), in(d, "o.vhd"), tools.ConvertOptions{Verify: true, Verifying: func(done, _ int64) {
		if done == 0 {
			return
		}
		_, err := tools.Convert(t.Context(), in(d, "src.raw"), in(d, "o.vhd"), tools.ConvertOptions{})
		if second == nil {
			second = err
		}
	}})
	if !errors.Is(first, fs.ErrExist) {
		t.Errorf("the slower one: %v", first)
	}
	if second != nil && !errors.Is(second, fs.ErrExist) {
		t.Errorf("the faster one: %v", second)
	}
	only(t, d, "o.vhd", "src.raw")
}

// TestConvertDryRun says what there would be to do, and does nothing.
func TestConvertDryRun(t *testing.T) {
	d := dir(t)
	put("src.raw", mixed(4*mib, 9))(t, d)
	put("taken-flat.vmdk", nil)(t, d)
	for name, want := range map[string]error{"o.vmdk": nil, "taken.vmdk": fs.ErrExist} {
		r, err := tools.Convert(t.Context(), in(d, "src.raw"), in(d, name), tools.ConvertOptions{DryRun: true, Out: disk.CreateOptions{Variant: "monolithicFlat"}})
		if !errors.Is(err, want) || err == nil && (r.Size != 4*mib || r.Written < mib || r.Written > r.Size) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		only(t, d, "src.raw", "taken-flat.vmdk")
	}
}

// TestConvertForQemu has qemu-img judge what each conversion made, where it reads the variant.
func TestConvertForQemu(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-img", "qemu-utils")
	d := dir(t)
	put("in.raw", mixed(9*mib+512, 8))(t, d)
	for _, f := range formats.All() {
		for _, v := range append(f.Variants, "") {
			path := in(d, "out"+v+f.Extensions[0])
			_, err := tools.Convert(t.Context(), in(d, "in.raw"), path, tools.ConvertOptions{Force: true, Out: disk.CreateOptions{Variant: v}})
			must(t, err)
			qemu.Run("compare", "-q", "-f", "raw", "-F", qemuNames[f.Name], in(d, "in.raw"), path)
		}
	}
}

var errAny = errors.New("any error")

// put returns what writes a file in a folder.
func put(name string, p []byte) func(*testing.T, string) {
	return func(t *testing.T, d string) { must(t, os.WriteFile(in(d, name), p, 0o600)) }
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree reads all regular files below d.
func tree(t *testing.T, d string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	root := os.DirFS(d)
	must(t, fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files[path], err = fs.ReadFile(root, path)
		return err
	}))
	return files
}
