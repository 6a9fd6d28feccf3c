package fuse_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/fuse"
)

const mib = 1 << 20

// sparse is a disk's content: data in every other MiB.
func sparse(size int) []byte {
	p := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	for off := range p {
		if off/mib%2 == 0 {
			p[off] = byte(rng.Uint32())
		}
	}
	return p
}

// create makes an image that holds content where that is not zero.
func create(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := formats.Create(path, disk.CreateOptions{Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(content); off += mib {
		part := content[off:min(len(content), off+mib)]
		if len(bytes.Trim(part, "\x00")) == 0 {
			continue
		}
		if _, err := i.WriteAt(part, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// mount mounts the image at path and returns the raw file, and what ends it early.
func mount(t testing.TB, path, at string, write bool) (file string, end func()) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: !write})
	if err != nil {
		t.Fatal(err)
	}
	m, err := fuse.New(i, at, fuse.Options{ReadOnly: !write})
	if err != nil {
		if _, e := os.Stat("/dev/fuse"); errors.Is(err, fuse.ErrUnavailable) && e != nil {
			t.Skip(errors.Join(err, i.Close()))
		}
		t.Fatal(err)
	}
	var once sync.Once
	end = func() {
		t.Helper()
		once.Do(func() {
			if err := errors.Join(m.Unmount(), i.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(end)
	return m.File(), end
}

// open opens a mounted file without Go's poller, which would have this process wait for itself.
func open(t testing.TB, path string, flags int) (fd int) {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// read reads all of a file.
func read(t testing.TB, path string) (p []byte) {
	t.Helper()
	fd := open(t, path, unix.O_RDONLY)
	defer unix.Close(fd)
	buf := make([]byte, mib)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return p
		}
		p = append(p, buf[:n]...)
	}
}

// TestRead reads images of every format, of a size that is no multiple of a page, and looks for their holes.
func TestRead(t *testing.T) {
	want := sparse(9*mib + 512)
	for _, f := range formats.All() {
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join(disktest.Dir(t), "disk"+f.Extensions[0])
			create(t, path, want)
			file, _ := mount(t, path, t.TempDir(), false)
			if filepath.Base(file) != filepath.Base(path)+".raw" {
				t.Errorf("it is called %s", file)
			}
			if !bytes.Equal(read(t, file), want) {
				t.Error("the file does not hold what the disk does")
			}
			i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			stored := int64(0)
			fd := open(t, file, unix.O_RDONLY)
			if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
				whence, other := unix.SEEK_HOLE, unix.SEEK_DATA
				if e.Kind == disk.Data {
					whence, other = other, whence
					stored += e.Length
				}
				if at, err := unix.Seek(fd, e.Offset+1, whence); err != nil || at != e.Offset+1 {
					t.Errorf("seek %d in %+v: %d, %v", whence, e, at, err)
				}
				if at, err := unix.Seek(fd, e.Offset, other); err == nil && at < e.Offset+e.Length || err != nil && err != unix.ENXIO {
					t.Errorf("seek %d in %+v: %d, %v", other, e, at, err)
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil || st.Size != int64(len(want)) || st.Blocks != (stored+511)/512 || st.Mode != unix.S_IFREG|0o400 {
				t.Errorf("stat: size %d, %d blocks for %d bytes, mode %o, %v", st.Size, st.Blocks, stored, st.Mode, err)
			}
			if _, err := unix.Seek(fd, int64(len(want)), unix.SEEK_DATA); err != unix.ENXIO {
				t.Errorf("data at the end: %v", err)
			}
			if _, err := unix.Open(file, unix.O_RDWR, 0); err != unix.EROFS && err != unix.EACCES {
				t.Errorf("open for writing: %v", err)
			}
		})
	}
}

// TestCopy has cp keep the holes.
func TestCopy(t *testing.T) {
	cp := disktest.FindTool(t, "cp", "coreutils")
	want := sparse(8 * mib)
	dir := disktest.Dir(t)
	path, out := filepath.Join(dir, "disk.vmdk"), filepath.Join(dir, "out")
	create(t, path, want)
	file, _ := mount(t, path, t.TempDir(), false)
	cp.Run("--sparse=auto", file, out)
	var st unix.Stat_t
	if err := unix.Stat(out, &st); err != nil || st.Blocks*512 > 5*mib || !bytes.Equal(read(t, out), want) {
		t.Errorf("the copy takes %d bytes, %v", st.Blocks*512, err)
	}
}

// TestFileSystem makes a file system in a mounted image and checks it, there and afterwards.
func TestFileSystem(t *testing.T) {
	mkfs, fsck := disktest.FindTool(t, "mkfs.ext4", "e2fsprogs"), disktest.FindTool(t, "e2fsck", "e2fsprogs")
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	dir := disktest.Dir(t)
	path := filepath.Join(dir, "disk.qcow2")
	create(t, path, make([]byte, 32*mib))
	file, end := mount(t, path, t.TempDir(), true)
	mkfs.Run("-q", "-F", "-b", "4096", file)
	fsck.Run("-f", "-n", file)
	end()
	img.Run("check", "-f", "qcow2", path)
	img.Run("convert", "-f", "qcow2", "-O", "raw", path, filepath.Join(dir, "out.raw"))
	fsck.Run("-f", "-n", filepath.Join(dir, "out.raw"))
}

// TestWrite writes in the place of a file, in all ways that there are, and finds all of it in the image.
func TestWrite(t *testing.T) {
	want := sparse(4*mib + 512)
	dir := disktest.Dir(t)
	path, at := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "place")
	create(t, path, want)
	if err := os.WriteFile(at, []byte("hidden meanwhile"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, end := mount(t, path, at, true)
	if file != at {
		t.Fatalf("mounted at %s", file)
	}
	fd := open(t, file, unix.O_RDWR)
	for _, w := range []struct{ off, n int }{{0, 1}, {511, 2}, {4095, 4098}, {mib - 5, mib + 10}, {4*mib + 500, 12}} {
		data := bytes.Repeat([]byte{byte(w.n), 0xa5}, w.n/2+1)[:w.n]
		copy(want[w.off:], data)
		if n, err := unix.Pwrite(fd, data, int64(w.off)); err != nil || n != w.n {
			t.Fatalf("write %d at %d: %d, %v", w.n, w.off, n, err)
		}
	}
	for _, z := range []struct {
		mode   uint32
		off, n int
	}{{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, 100, 70000}, {unix.FALLOC_FL_ZERO_RANGE, 2*mib + 1, mib}, {unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE, 4 * mib, 100}} {
		clear(want[z.off : z.off+z.n])
		if err := unix.Fallocate(fd, z.mode, int64(z.off), int64(z.n)); err != nil {
			t.Fatalf("fallocate %#x: %v", z.mode, err)
		}
	}
	if err := unix.Fsync(fd); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"truncate":        unix.Ftruncate(fd, 5),
		"grow":            unix.Ftruncate(fd, 5*mib),
		"reserve":         unix.Fallocate(fd, 0, 0, mib),
		"zero and longer": unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 4*mib, mib),
		"collapse":        unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
		"chmod":           unix.Fchmod(fd, 0o777),
		"rename":          unix.Rename(file, file+"x"),
		"unlink":          unix.Unlink(file),
	} {
		if err == nil {
			t.Errorf("%s is possible", name)
		}
	}
	if n, err := unix.Pwrite(fd, make([]byte, 100), int64(len(want))); err != unix.ENOSPC {
		t.Errorf("write at the end: %d, %v", n, err)
	}
	copy(want[len(want)-10:], "9876543210")
	if n, err := unix.Pwrite(fd, []byte("9876543210 and more"), int64(len(want)-10)); n != 10 {
		t.Errorf("write across the end: %d, %v", n, err)
	}
	if !bytes.Equal(read(t, file), want) {
		t.Error("the file does not hold what was written")
	}
	unix.Close(fd)
	end()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the image does not hold what was written: %v", err)
	}
	if got, err := os.ReadFile(at); err != nil || string(got) != "hidden meanwhile" {
		t.Errorf("the file below: %q, %v", got, err)
	}
}

// TestConcurrent has several write and read their own stripes.
func TestConcurrent(t *testing.T) {
	const workers, stripe, rounds = 4, 64 << 10, 16
	path := filepath.Join(disktest.Dir(t), "disk.vmdk")
	create(t, path, make([]byte, workers*stripe*rounds))
	file, end := mount(t, path, t.TempDir(), true)
	var wg sync.WaitGroup
	for w := range workers {
		fd := open(t, file, unix.O_RDWR)
		wg.Go(func() {
			for r := range rounds {
				off := int64((r*workers + w) * stripe)
				data, got := bytes.Repeat([]byte{byte(w + 1), byte(r)}, stripe/2), make([]byte, stripe)
				_, err := unix.Pwrite(fd, data, off)
				if _, e := unix.Pread(fd, got, off); errors.Join(err, e) != nil || !bytes.Equal(got, data) {
					t.Errorf("worker %d, round %d: %v", w, r, errors.Join(err, e))
				}
				if r%5 == 0 {
					if err := unix.Fsync(fd); err != nil {
						t.Error(err)
					}
				}
			}
			unix.Close(fd)
		})
	}
	wg.Wait()
	end()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p := make([]byte, 2)
	for s := range workers * rounds {
		if _, err := i.ReadAt(p, int64(s*stripe)); err != nil || p[0] != byte(s%workers+1) || p[1] != byte(s/workers) {
			t.Errorf("stripe %d holds %v, %v", s, p, err)
		}
	}
}

// TestBusy unmounts while a file is open.
func TestBusy(t *testing.T) {
	path := filepath.Join(disktest.Dir(t), "disk.raw")
	create(t, path, sparse(mib))
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	dir := t.TempDir()
	m, err := fuse.New(i, dir, fuse.Options{ReadOnly: true, Name: "other name"})
	if errors.Is(err, fuse.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	fd := open(t, filepath.Join(dir, "other name"), unix.O_RDONLY)
	if err := m.Unmount(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("unmounted in spite of an open file: %v", err)
	}
	if err := m.Detach(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it is still there: %v, %v", left, err)
	}
	p := make([]byte, 100)
	if n, err := unix.Pread(fd, p, 5000); n != len(p) || err != nil {
		t.Errorf("the open file: %d, %v", n, err)
	}
	unix.Close(fd)
	<-m.Done()
	if err := m.Unmount(); err != nil {
		t.Errorf("unmount once more: %v", err)
	}
}

// failing is an image that cannot be read or written.
type failing struct{ disk.Image }

func (failing) ReadAt([]byte, int64) (int, error)  { return 0, disk.Corrupt("x", 5, "broken") }
func (failing) WriteAt([]byte, int64) (int, error) { return 0, disk.ErrFull }
func (failing) Flush() error                       { return syscall.EIO }

func TestErrors(t *testing.T) {
	dir := disktest.Dir(t)
	path := filepath.Join(dir, "disk.raw")
	create(t, path, sparse(mib))
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	full := t.TempDir()
	create(t, filepath.Join(full, "other.raw"), sparse(mib))
	for _, at := range []string{filepath.Join(dir, "none"), "/dev/null", full, path} {
		if _, err := fuse.New(i, at, fuse.Options{}); err == nil || !errors.Is(err, fuse.ErrUnavailable) && !strings.Contains(err.Error(), at) {
			t.Errorf("mounted at %s: %v", at, err)
		}
	}
	m, err := fuse.New(failing{i}, t.TempDir(), fuse.Options{})
	if errors.Is(err, fuse.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	fd := open(t, m.File(), unix.O_RDWR)
	if _, err := unix.Pread(fd, make([]byte, 10), 0); err != unix.EIO {
		t.Errorf("read: %v", err)
	}
	if _, err := unix.Pwrite(fd, make([]byte, 4096), 0); err != unix.ENOSPC {
		t.Errorf("write: %v", err)
	}
	if err := unix.Fsync(fd); err != unix.EIO {
		t.Errorf("fsync: %v", err)
	}
	unix.Close(fd)
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
}
