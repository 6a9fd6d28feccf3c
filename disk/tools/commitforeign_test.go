package tools_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// TestForeignChains has qemu-img make chains and judge what commit, rebase and flatten leave of them.
func TestForeignChains(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-img", "qemu-utils")
	for _, format := range []string{"vmdk", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			d := dir(t)
			const size = "8M"
			base, next, child := in(d, "base."+format), in(d, "next."+format), in(d, "child."+format)
			want := make([]byte, 8*mib)
			qemu.Run("create", "-q", "-f", format, base, size)
			scribble(t, base, nil, want, 1)
			qemu.Run("create", "-q", "-f", format, next, size)
			scribble(t, next, nil, make([]byte, 8*mib), 2)
			// The name of the parent is absolute, and in the child's own folder. qemu-img makes a VMDK's child know its parent by the identifier that it has now.
			qemu.Run("create", "-q", "-f", format, "-F", format, "-b", base, child)
			scribble(t, child, nil, want, 3)
			judge := func(path string) {
				t.Helper()
				raw := in(d, "read.raw")
				qemu.Run("convert", "-f", format, "-O", "raw", path, raw)
				got, err := os.ReadFile(raw)
				must(t, err)
				if !bytes.Equal(got, want) {
					t.Errorf("qemu-img reads %s otherwise, from byte %d on", path, prefix(got, want))
				}
				qemu.Run("check", "-q", "-f", format, path)
			}
			judge(child)
			_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
			must(t, err)
			judge(child)
			judge(base)
			scribble(t, child, nil, want, 4)
			_, err = tools.Rebase(t.Context(), child, next, tools.RebaseOptions{})
			must(t, err)
			judge(child)
			_, err = tools.Flatten(t.Context(), child, tools.RebaseOptions{})
			must(t, err)
			must(t, os.Remove(next))
			judge(child)
			_, err = tools.Overlay(t.Context(), child, in(d, "top."+format), tools.OverlayOptions{})
			must(t, err)
			judge(in(d, "top."+format))
		})
	}
}

// TestFlattenCompressed lifts what a parent stores compressed.
func TestFlattenCompressed(t *testing.T) {
	d := dir(t)
	want := mixed(3*mib, 4)
	image(t, in(d, "raw.raw"), want, disk.CreateOptions{})
	base := in(d, "base.vmdk")
	_, err := tools.Convert(t.Context(), in(d, "raw.raw"), base, tools.ConvertOptions{Out: disk.CreateOptions{Variant: "streamOptimized"}})
	must(t, err)
	for _, name := range []string{"child.vmdk", "child.qcow2"} {
		overlay(t, d, name, "base.vmdk")
		_, err := tools.Flatten(t.Context(), in(d, name), tools.RebaseOptions{})
		must(t, err)
		based(t, in(d, name), "")
	}
	must(t, formats.Create(in(d, "packed.vmdk"), disk.CreateOptions{Parent: base, Variant: "streamOptimized"}))
	scribble(t, in(d, "packed.vmdk"), nil, want, 5)
	_, err = tools.Commit(t.Context(), in(d, "packed.vmdk"), tools.CommitOptions{})
	must(t, err)
	reads(t, base, want)
	reads(t, in(d, "packed.vmdk"), want)
	sound(t, base)
}
