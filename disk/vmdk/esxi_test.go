package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// cowd returns a vmfsSparse extent of 6 MiB in grains of one sector: sectors 5 to 7 and 9000 are stored.
func cowd() []byte {
	const sectors, gd, table0, table2, data = 12288, 4, 5, 5 + 32, 5 + 64
	p := make([]byte, (data+4)*512)
	copy(p, "COWD")
	for at, v := range map[int]uint32{
		4: 1, 8: 3, 12: sectors, 16: 1, 20: gd, 24: 3, 28: data + 4, gd * 512: table0, gd*512 + 8: table2,
		table0*512 + 5*4: data, table0*512 + 6*4: data + 1, table0*512 + 7*4: data + 2, table2*512 + (9000-8192)*4: data + 3,
	} {
		put32(p[at:], v)
	}
	for n := range 4 {
		copy(p[(data+n)*512:], bytes.Repeat([]byte{byte(0xa0 + n)}, 512))
	}
	return p
}

// seSparse returns an SEsparse extent of 32 MiB: grains 1 and 2 and one in the second table are stored, grain 3 is zeroes, 4 unmapped.
func seSparse() []byte {
	const (
		sectors = 65536
		gd      = 4
		tables  = 8
		bitmap  = tables + 128
		grains  = bitmap + 8
	)
	p := make([]byte, (grains+5000*8)*512)
	for n, v := range []uint64{
		0xcafebabe, 2<<32 | 1, sectors, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, gd, 4, tables, 128, bitmap, 4, bitmap + 4, 4, grains, 5000 * 8,
	} {
		put64(p[n*8:], v)
	}
	put64(p[512:], 0xcafecafe)
	put64(p[gd*512:], 1<<60|1) // the tables in the other order
	put64(p[gd*512+8:], 1<<60)
	entry := func(table, k int, e uint64) { put64(p[tables*512+table*64*512+k*8:], e) }
	allocated := func(place uint64) uint64 { return 3<<60 | place&0xfff<<48 | place>>12 }
	for n, place := range []uint64{0, 1, 4999} {
		switch n {
		case 2:
			entry(0, 100, allocated(place))
		default:
			entry(1, 1+n, allocated(place))
		}
		copy(p[(grains+place*8)*512:], bytes.Repeat([]byte{byte(0xb0 + n)}, 4096))
	}
	entry(1, 3, 2<<60)
	entry(1, 4, 1<<60|7<<48)
	return p
}

// hostSparse are disks as ESXi makes them.
var hostSparse = map[string]struct {
	extent []byte
	kind   string
	size   int64
	stored map[int64]struct {
		length int
		value  byte
	}
}{
	"vmfsSparse": {cowd(), "VMFSSPARSE", 6 << 20, map[int64]struct {
		length int
		value  byte
	}{5 * 512: {512, 0xa0}, 6 * 512: {512, 0xa1}, 7 * 512: {512, 0xa2}, 9000 * 512: {512, 0xa3}}},
	"seSparse": {seSparse(), "SESPARSE", 32 << 20, map[int64]struct {
		length int
		value  byte
	}{4096: {4096, 0xb0}, 8192: {4096, 0xb1}, 16<<20 + 100*4096: {4096, 0xb2}}},
}

// hostDisk writes such a disk above a parent full of one byte, and returns its path and contents.
func hostDisk(t *testing.T, name string, parent bool) (string, []byte) {
	t.Helper()
	c := hostSparse[name]
	dir := disktest.Dir(t)
	want := make([]byte, c.size)
	cid := "ffffffff"
	if parent {
		base := filepath.Join(dir, "base.vmdk")
		if err := vmdk.Create(base, disk.CreateOptions{Size: c.size, Variant: "vmfs"}); err != nil {
			t.Fatal(err)
		}
		for k := range want {
			want[k] = 0x11
		}
		pattern(t, base, want, 0)
		text, err := os.ReadFile(base)
		if err != nil {
			t.Fatal(err)
		}
		d, err := vmdk.ParseDescriptor(text)
		if err != nil {
			t.Fatal(err)
		}
		cid = fmt.Sprintf("%08x\nparentFileNameHint=\"base.vmdk\"", d.CID)
	}
	for at, s := range c.stored {
		copy(want[at:], bytes.Repeat([]byte{s.value}, s.length))
	}
	if name == "seSparse" {
		clear(want[3*4096 : 5*4096])
	}
	path := filepath.Join(dir, "disk.vmdk")
	text := fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=%s\ncreateType=%q\nRW %d %s \"disk-delta.vmdk\"\n",
		cid, name, c.size/512, c.kind)
	for name, p := range map[string][]byte{path: []byte(text), filepath.Join(dir, "disk-delta.vmdk"): c.extent} {
		if err := os.WriteFile(name, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, want
}

// TestHostSparse reads ESXi's own sparse formats, alone and as snapshots, and has qemu agree.
func TestHostSparse(t *testing.T) {
	for name := range hostSparse {
		for _, parent := range []bool{false, true} {
			t.Run(fmt.Sprint(name, parent), func(t *testing.T) {
				path, want := hostDisk(t, name, parent)
				reads(t, path, want, 0, disk.OpenOptions{})
				if r, err := vmdk.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 || r.Allocated != int64(len(hostSparse[name].stored)) {
					t.Errorf("check: %+v, %v", r, err)
				}
				if i, err := vmdk.Open(path, disk.OpenOptions{}); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "read-only") {
					if err == nil {
						i.Close()
					}
					t.Errorf("opened for writing: %v", err)
				}
				raw := filepath.Join(filepath.Dir(path), "want.raw")
				if err := os.WriteFile(raw, want, 0o600); err != nil {
					t.Fatal(err)
				}
				disktest.FindTool(t, "qemu-img", "qemu-utils").Run("compare", "-f", "vmdk", "-F", "raw", path, raw)
			})
		}
	}
}

// TestHostileHostSparse changes one thing each and expects one clear error, at Open or when the place is read.
func TestHostileHostSparse(t *testing.T) {
	for name, c := range map[string]struct {
		disk   string
		change func(p []byte) []byte
		want   string
	}{
		"cowd version":       {"vmfsSparse", func(p []byte) []byte { p[4] = 2; return p }, "version 2"},
		"cowd flags":         {"vmfsSparse", func(p []byte) []byte { p[8] = 1; return p }, "flags"},
		"cowd grain 0":       {"vmfsSparse", func(p []byte) []byte { p[16] = 0; return p }, "grain size"},
		"cowd capacity":      {"vmfsSparse", func(p []byte) []byte { put32(p[12:], 1<<32-1); return p }, "leaves the file"},
		"cowd smaller":       {"vmfsSparse", func(p []byte) []byte { put32(p[12:], 100); return p }, "its descriptor says"},
		"cowd no GD":         {"vmfsSparse", func(p []byte) []byte { put32(p[20:], 0); return p }, "grain directory"},
		"cowd short GD":      {"vmfsSparse", func(p []byte) []byte { put32(p[24:], 1); return p }, "does not cover"},
		"cowd table":         {"vmfsSparse", func(p []byte) []byte { put32(p[4*512:], 1<<31); return p }, "beyond the end"},
		"cowd grain":         {"vmfsSparse", func(p []byte) []byte { put32(p[5*512+20:], 1<<31); return p }, "beyond the end"},
		"cowd grain is GD":   {"vmfsSparse", func(p []byte) []byte { put32(p[5*512+20:], 4); return p }, "overlaps"},
		"cowd truncated":     {"vmfsSparse", func(p []byte) []byte { return p[:len(p)-1] }, "beyond the end"},
		"se version":         {"seSparse", func(p []byte) []byte { p[8] = 2; return p }, "version"},
		"se grain":           {"seSparse", func(p []byte) []byte { put64(p[24:], 1<<63); return p }, "grain size"},
		"se capacity":        {"seSparse", func(p []byte) []byte { put64(p[16:], 1<<63); return p }, "capacity"},
		"se capacity 2^50":   {"seSparse", func(p []byte) []byte { put64(p[16:], 1<<50); return p }, "does not cover"},
		"se smaller":         {"seSparse", func(p []byte) []byte { put64(p[16:], 8); return p }, "its descriptor says"},
		"se GD":              {"seSparse", func(p []byte) []byte { put64(p[16*8:], 1<<60); return p }, "grain directory"},
		"se no volatile":     {"seSparse", func(p []byte) []byte { put64(p[512:], 0); return p }, "no volatile header"},
		"se journal":         {"seSparse", func(p []byte) []byte { p[512+24] = 1; return p }, "journal"},
		"se table":           {"seSparse", func(p []byte) []byte { put64(p[4*512:], 1<<60|2); return p }, "directory entry"},
		"se table kind":      {"seSparse", func(p []byte) []byte { put64(p[4*512:], 2<<60); return p }, "directory entry"},
		"se grain beyond":    {"seSparse", func(p []byte) []byte { put64(p[(8+64)*512+8:], 3<<60|5000&0xfff<<48|1); return p }, "table entry"},
		"se grain 2^60":      {"seSparse", func(p []byte) []byte { put64(p[(8+64)*512+8:], 3<<60|(1<<60-1)); return p }, "table entry"},
		"se kind of grain":   {"seSparse", func(p []byte) []byte { put64(p[(8+64)*512+8:], 9<<60); return p }, "table entry"},
		"se truncated":       {"seSparse", func(p []byte) []byte { return p[:len(p)-512] }, "table entry"},
		"se truncated early": {"seSparse", func(p []byte) []byte { return p[:600] }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path, want := hostDisk(t, c.disk, false)
			extent := filepath.Join(filepath.Dir(path), "disk-delta.vmdk")
			if err := os.WriteFile(extent, c.change(bytes.Clone(hostSparse[c.disk].extent)), 0o600); err != nil {
				t.Fatal(err)
			}
			i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true})
			if err == nil {
				_, err = i.ReadAt(want, 0)
				i.Close()
			}
			if !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) {
				t.Fatalf("%v: neither ErrCorrupt nor ErrUnsupported", err)
			}
			if msg := err.Error(); !strings.Contains(msg, c.want) || !strings.Contains(msg, extent) || strings.Contains(msg, "\n") {
				t.Errorf("%q is not one line that names the file and says %q", msg, c.want)
			}
			vmdk.Check(path, disk.OpenOptions{})
		})
	}
}

// FuzzHostSparse reads mutated extents of ESXi's formats.
func FuzzHostSparse(f *testing.F) {
	f.Add(cowd())
	se := seSparse()
	f.Add(se[:len(se)/64]) // small, with its last grain gone
	f.Fuzz(func(t *testing.T, content []byte) {
		files := disktest.NewRecorder()
		kind, sectors := "VMFSSPARSE", uint64(0)
		if len(content) >= 24 {
			sectors = uint64(binary.LittleEndian.Uint32(content[12:]))
			if content[0] != 'C' {
				kind, sectors = "SESPARSE", binary.LittleEndian.Uint64(content[16:])%(1<<50)
			}
		}
		files.Put("d/disk.vmdk", fmt.Appendf(nil, "# Disk DescriptorFile\nCID=1\nRW %d %s \"delta.vmdk\"\n", sectors, kind))
		files.Put("d/delta.vmdk", content)
		o := disk.OpenOptions{ReadOnly: true, Files: files}
		vmdk.Check("d/disk.vmdk", o)
		i, err := vmdk.Open("d/disk.vmdk", o)
		if err != nil {
			return
		}
		defer i.Close()
		p, size := make([]byte, 20000), i.Size()
		for _, off := range []int64{0, size / 2, size - 20000} {
			off = max(0, off)
			i.ReadAt(p[:min(size-off, 20000)], off)
		}
		left := 1000
		i.Extents(0, size, func(disk.Extent) bool { left--; return left > 0 })
	})
}
