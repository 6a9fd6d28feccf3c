package nbd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/nbd"
)

// offer serves the image at path for the length of a test and returns its URI, and what ends it early.
func offer(t testing.TB, path string, readOnly bool) (uri string, end func()) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	s, err := nbd.NewServer(nbd.Export{Image: i, ReadOnly: i.Info().ReadOnly, Description: "test"}, nbd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(disktest.Dir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	over := false
	end = func() {
		t.Helper()
		if over {
			return
		}
		over = true
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, nbd.ErrServerClosed) {
			t.Error(err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return "nbd+unix:///?socket=" + socket, end
}

// sparse is a disk's content: data here and there, zeroes elsewhere.
func sparse(size int) []byte {
	p := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	for off := 0; off < size; off += 1 << 20 {
		part := p[off:min(size, off+rng.IntN(700<<10))]
		for k := range part {
			part[k] = byte(rng.Uint32())
		}
	}
	return p
}

// TestTools has other people's clients read and write images of every format that can be made.
func TestTools(t *testing.T) {
	nbdinfo, nbdcopy := disktest.FindTool(t, "nbdinfo", "libnbd-bin"), disktest.FindTool(t, "nbdcopy", "libnbd-bin")
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	const size = 9<<20 + 512
	want := sparse(size)
	dir := disktest.Dir(t)
	source := filepath.Join(dir, "source.raw")
	if err := os.WriteFile(source, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range formats.All() {
		for _, variant := range append([]string{}, append(f.Variants, "")[:max(1, len(f.Variants))]...) {
			t.Run(f.Name+" "+variant, func(t *testing.T) {
				path := filepath.Join(disktest.Dir(t), "disk"+f.Extensions[0])
				if err := formats.Create(path, disk.CreateOptions{Size: size, Variant: variant}); err != nil {
					t.Fatal(err)
				}
				uri, end := offer(t, path, false)
				var info struct {
					Exports []struct {
						Size      int64 `json:"export-size"`
						MultiConn bool  `json:"can_multi_conn"`
						Zero      bool  `json:"can_fast_zero"`
						ReadOnly  bool  `json:"is_read_only"`
					} `json:"exports"`
				}
				if err := json.Unmarshal([]byte(nbdinfo.Run("--json", uri)), &info); err != nil {
					t.Fatal(err)
				}
				if e := info.Exports[0]; e.Size != size || !e.MultiConn || !e.Zero || e.ReadOnly {
					t.Errorf("nbdinfo sees %+v", e)
				}
				nbdcopy.Run("--connections=4", "--requests=16", source, uri)
				img.Run("compare", "-f", "raw", "-F", "raw", uri, source)
				img.Run("convert", "-n", "-f", "raw", "-O", "raw", "-m", "8", "-W", source, uri) // once more, over what is there
				end()

				uri, _ = offer(t, path, true)
				out := filepath.Join(disktest.Dir(t), "out.raw")
				nbdcopy.Run("--connections=4", uri, out)
				if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
					t.Errorf("nbdcopy read something else: %v", err)
				}
				img.Run("convert", "-f", "raw", "-O", "raw", "-m", "8", uri, out)
				if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
					t.Errorf("qemu-img convert read something else: %v", err)
				}
				// What is stored as data is as long as what we say ourselves.
				for _, tool := range []struct{ json, key string }{
					{nbdinfo.Run("--map", "--json", uri), "type"}, {img.Run("map", "--output=json", "-f", "raw", uri), "data"},
				} {
					var list []map[string]any
					if err := json.Unmarshal([]byte(tool.json), &list); err != nil {
						t.Fatalf("%v: %s", err, tool.json)
					}
					sum := int64(0)
					for _, e := range list {
						if v := e[tool.key]; v == 0.0 || v == true {
							length, _ := e["length"].(float64)
							sum += int64(length)
						}
					}
					if stored := stored(t, path); sum != stored {
						t.Errorf("the map by %q has %d bytes of data, want %d", tool.key, sum, stored)
					}
				}
				if out, code := img.Try("bench", "-w", "-f", "raw", "-c", "1", uri); code == 0 {
					t.Errorf("wrote to a read-only export: %s", out)
				}
			})
		}
	}
}

// stored is how many bytes of the image at path are data.
func stored(t *testing.T, path string) (n int64) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind == disk.Data {
			n += e.Length
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestToolsOnChain reads a chain of three images in two formats, and asks how deep things lie.
func TestToolsOnChain(t *testing.T) {
	nbdinfo, img := disktest.FindTool(t, "nbdinfo", "libnbd-bin"), disktest.FindTool(t, "qemu-img", "qemu-utils")
	io := disktest.FindTool(t, "qemu-io", "qemu-utils")
	const size = 4 << 20
	dir := disktest.Dir(t)
	want := make([]byte, size)
	parent, child := "", ""
	for n, name := range []string{"base.vmdk", "middle.vmdk", "top.qcow2"} {
		child = filepath.Join(dir, name)
		if err := formats.Create(child, disk.CreateOptions{Size: size, Parent: parent}); err != nil {
			t.Fatal(err)
		}
		uri, end := offer(t, child, false)
		io.Run("-f", "raw", "-c", "write -P "+string(rune('1'+n))+" "+string(rune('0'+n))+"M 64k", uri)
		copy(want[n<<20:], bytes.Repeat([]byte{byte(n + 1)}, 64<<10))
		end()
		parent = child
	}
	uri, _ := offer(t, child, true)
	out := filepath.Join(dir, "out.raw")
	img.Run("convert", "-f", "raw", "-O", "raw", uri, out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("qemu-img convert read something else: %v", err)
	}
	depths := nbdinfo.Run("--map=qemu:allocation-depth", uri)
	var seen []string
	for line := range strings.Lines(depths) {
		if w := strings.Fields(line); len(w) > 2 && w[2] != "0" {
			seen = append(seen, w[0]+" "+w[2])
		}
	}
	if len(seen) < 3 || seen[0] != "0 3" || seen[len(seen)-1] != "2097152 1" {
		t.Errorf("depths %v:\n%s", seen, depths)
	}
}

// TestNbdcopyKilled ends a copy in its middle; what the image holds can be written over, and it is sound.
func TestNbdcopyKilled(t *testing.T) {
	nbdcopy, img := disktest.FindTool(t, "nbdcopy", "libnbd-bin"), disktest.FindTool(t, "qemu-img", "qemu-utils")
	timeout := disktest.FindTool(t, "timeout", "coreutils")
	const size = 64 << 20
	dir := disktest.Dir(t)
	source, path := filepath.Join(dir, "source.raw"), filepath.Join(dir, "disk.qcow2")
	if err := os.WriteFile(source, bytes.Repeat([]byte{1, 2, 3, 4}, size/4), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := formats.Create(path, disk.CreateOptions{Size: size}); err != nil {
		t.Fatal(err)
	}
	uri, end := offer(t, path, false)
	timeout.Try("-s", "KILL", "0.02", "nbdcopy", source, uri) // it may also be over by then
	nbdcopy.Run(source, uri)
	end()
	img.Run("check", "-f", "qcow2", path)
	img.Run("compare", "-f", "raw", "-F", "qcow2", source, path)
}
