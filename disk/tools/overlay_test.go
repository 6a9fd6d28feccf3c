package tools_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// overlays says which formats can be based on which: VMDK and qcow2 on any, the others on their own kind, raw and VDI on none.
func overlays(child, parent string) bool {
	switch child {
	case "vmdk", "qcow2":
		return true
	case "vhd", "vhdx":
		return parent == child
	}
	return false
}

// TestOverlay makes overlays of every format over every format, and writes to them.
func TestOverlay(t *testing.T) {
	want := mixed(3*mib+512, 5)
	for _, below := range formats.All() {
		for _, above := range formats.All() {
			t.Run(above.Name+" over "+below.Name, func(t *testing.T) {
				d := dir(t)
				base, path := image(t, in(d, "base"+below.Extensions[0]), want, disk.CreateOptions{}), in(d, "new"+above.Extensions[0])
				info, err := tools.Overlay(t.Context(), base, path, tools.OverlayOptions{DryRun: true})
				if !overlays(above.Name, below.Name) {
					if err == nil || strings.Contains(err.Error(), "\n") {
						t.Errorf("%v, want a refusal in one line", err)
					}
					only(t, d, filepath.Base(base))
					return
				}
				must(t, err)
				only(t, d, filepath.Base(base))
				if info.Path != path || info.Format != above.Name || info.Size != int64(len(want)) || !samePlace(info.Parent, base) {
					t.Errorf("%+v", info)
				}
				_, err = tools.Overlay(t.Context(), base, path, tools.OverlayOptions{})
				must(t, err)
				if got := content(t, path, disk.OpenOptions{}); !bytes.Equal(got, want) {
					t.Error("the overlay does not read as its base")
				}
				write(t, path, bytes.Repeat([]byte{7}, 100<<10), mib)
				now := bytes.Clone(want)
				copy(now[mib:], bytes.Repeat([]byte{7}, 100<<10))
				if got := content(t, path, disk.OpenOptions{}); !bytes.Equal(got, now) {
					t.Error("the overlay does not hold what was written")
				}
				if got := content(t, base, disk.OpenOptions{}); !bytes.Equal(got, want) {
					t.Error("the base was changed")
				}
				if _, err := tools.Overlay(t.Context(), base, path, tools.OverlayOptions{}); !errors.Is(err, fs.ErrExist) {
					t.Errorf("over what exists: %v", err)
				}
				only(t, d, filepath.Base(base), filepath.Base(path))
			})
		}
	}
}

func samePlace(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// TestOverlayParts makes an overlay in several files where one of them is in the way, and where a killed program left hidden ones.
func TestOverlayParts(t *testing.T) {
	d := dir(t)
	base := image(t, in(d, "base.vmdk"), mixed(mib, 1), disk.CreateOptions{})
	o := tools.OverlayOptions{New: disk.CreateOptions{Variant: "twoGbMaxExtentSparse"}}
	must(t, os.WriteFile(in(d, "new-s001.vmdk"), []byte("mine"), 0o600))
	if _, err := tools.Overlay(t.Context(), base, in(d, "new.vmdk"), o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want ErrExist", err)
	}
	only(t, d, "base.vmdk", "new-s001.vmdk")
	must(t, os.Remove(in(d, "new-s001.vmdk")))
	must(t, os.WriteFile(in(d, ".new-s001.vmdk.part"), []byte("torn"), 0o600))
	info, err := tools.Overlay(t.Context(), base, in(d, "new.vmdk"), o)
	must(t, err)
	only(t, d, "base.vmdk", "new-s001.vmdk", "new.vmdk")
	if !slices.Contains(info.Files, in(d, "new-s001.vmdk")) {
		t.Errorf("its files are %q", info.Files)
	}
	content(t, in(d, "new.vmdk"), disk.OpenOptions{})

	busy, err := disk.HostFiles{}.Open(in(d, ".other.vmdk.part"), disk.FileOptions{Write: true, Create: true})
	must(t, err)
	defer busy.Close()
	if _, err := tools.Overlay(t.Context(), base, in(d, "other.vmdk"), tools.OverlayOptions{}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("while another program makes it: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tools.Overlay(ctx, base, in(d, "third.vmdk"), tools.OverlayOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestOverlayName(t *testing.T) {
	d := dir(t)
	for _, name := range []string{"used-000001.vmdk", "used-000002.vmdk"} {
		must(t, os.WriteFile(in(d, name), nil, 0o600))
	}
	for _, c := range []struct{ base, baseFormat, format, want string }{
		{"win.vmdk", "", "", "win-000001.vmdk"},
		{"WIN.VMDK", "", "", "WIN-000001.VMDK"},
		{"win-000001.vmdk", "", "", "win-000002.vmdk"},
		{"used.vmdk", "", "", "used-000003.vmdk"},
		{"used-000002.vmdk", "", "", "used-000003.vmdk"},
		{"a.b.vhdx", "", "", "a.b-000001.vhdx"},
		{"disk.raw", "", "", "disk-000001.qcow2"},
		{"disk.vdi", "", "", "disk-000001.qcow2"},
		{"disk", "vhd", "", "disk-000001.vhd"},
		{"disk.vhd", "", "vmdk", "disk-000001.vmdk"},
		{"disk", "", "", ""},
		{"disk.raw", "", "zip", ""},
	} {
		if c.base == "win-000001.vmdk" {
			must(t, os.WriteFile(in(d, c.base), nil, 0o600))
		}
		got, err := tools.OverlayName(in(d, c.base), c.baseFormat, c.format, nil)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %s, want an error", c.base, got)
			}
		} else if err != nil || got != in(d, c.want) {
			t.Errorf("%s: %s, %v; want %s", c.base, got, err, c.want)
		}
	}
}
