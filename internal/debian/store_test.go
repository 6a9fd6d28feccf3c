package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// fakeApt puts an apt and a dpkg-deb on the PATH that know a kernel, and returns the file in which they note their calls.
func fakeApt(t *testing.T) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	vmlinuz := filepath.Join(dir, "vmlinuz")
	write(t, vmlinuz, string(bzImage(z.EncodeAll(kernelELF, nil))), 0o644)
	write(t, filepath.Join(dir, "version"), "6.1.9-1", 0o644)
	script := func(name, body string) {
		write(t, filepath.Join(dir, name), "#!/bin/sh\necho "+name+" \"$@\" >>"+calls+"\n"+body, 0o755)
	}
	script("apt-cache", `
eval name=\${$#}
v=$(cat `+dir+`/version)
case $name in
linux-image-amd64) echo "Package: $name
Version: $v
Depends: linux-image-6.1.0-9-amd64 (= $v), other
Description: x
 Version: no" ;;
linux-image-6.1.0-9-amd64) echo "Version: $v" ;;
*) echo "N: no $name" >&2; exit 100 ;;
esac
`)
	script("apt-get", `
eval name=\${$#}
if [ $name = update ]; then echo "E: no network" >&2; exit 100; fi
[ -e `+dir+`/fail ] && { echo "E: download failed" >&2; exit 100; }
echo deb >${name}_$(cat `+dir+`/version)_amd64.deb
`)
	script("dpkg-deb", `
mkdir -p $3/boot $3/lib/modules/6.1.0-9-amd64
case $2 in *6.1.0-9*) cp `+vmlinuz+` $3/boot/vmlinuz-6.1.0-9-amd64 ;; esac
`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKernelIsFetchedOnce(t *testing.T) {
	calls := fakeApt(t)
	dir := t.TempDir()
	k, err := open(t, dir).Kernel(t.Context(), Generic)
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != "6.1.0-9-amd64" {
		t.Errorf("release %q", k.Release)
	}
	for _, path := range []string{k.Vmlinuz, k.ModulesDir} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(k.Vmlinux); err != nil || string(b) != string(kernelELF) {
		t.Errorf("vmlinux has %d bytes, %v", len(b), err)
	}
	if err := os.Remove(calls); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, dir).Kernel(t.Context(), Generic)
	if err != nil || again != k {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	if b, err := os.ReadFile(calls); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second time needed\n%s", b)
	}
}

func TestUpdateFindsTheNewVersion(t *testing.T) {
	calls := fakeApt(t)
	s := open(t, t.TempDir())
	const name = "linux-image-6.1.0-9-amd64"
	old, err := s.Package(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(calls), "version"), "6.1.10-1", 0o644)
	if same, err := s.Package(t.Context(), name); err != nil || same != old {
		t.Errorf("Package went from %s to %s, %v", old, same, err)
	}
	fresh, err := s.Update(t.Context(), name)
	if err != nil || filepath.Base(fresh) != name+"_6.1.10-1" {
		t.Errorf("Update gave %s, %v", fresh, err)
	}
	if now, err := s.Package(t.Context(), name); err != nil || now != fresh {
		t.Errorf("after Update Package gives %s, %v", now, err)
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	calls := fakeApt(t)
	dir := t.TempDir()
	s := open(t, dir)
	fail := filepath.Join(filepath.Dir(calls), "fail")
	write(t, fail, "", 0o644)
	if _, err := s.Kernel(t.Context(), Generic); err == nil || !strings.Contains(err.Error(), "download failed") {
		t.Errorf("a failed download: %v", err)
	}
	// What a run that was killed leaves is removed by the next.
	if err := os.Mkdir(filepath.Join(dir, "tmp-killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Package(t.Context(), "no-such-package"); err == nil || !strings.Contains(err.Error(), "apt-get update") {
		t.Errorf("an unknown package: %v", err)
	}
	if _, err := s.Package(t.Context(), "--option"); err == nil {
		t.Error("an option was taken for a package")
	}
	if _, err := s.Kernel(t.Context(), "odd"); err == nil {
		t.Error("an unknown flavour was accepted")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func TestConcurrentRunsFetchOnce(t *testing.T) {
	calls := fakeApt(t)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		s := open(t, dir)
		wg.Go(func() {
			if _, err := s.Kernel(context.Background(), Generic); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "apt-get "); n != 2 {
		t.Errorf("%d downloads instead of 2:\n%s", n, b)
	}
}

func TestCancelledWaitForTheLock(t *testing.T) {
	s := open(t, t.TempDir())
	held, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := s.locked(context.Background(), func() (string, error) { close(held); <-release; return "", nil })
		done <- err
	}()
	<-held
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("enough"))
	if _, err := s.locked(ctx, func() (string, error) { return "", nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestControl(t *testing.T) {
	got := control([]byte("A: one\nB: two: three\n more: no\nC:\n\nA: next paragraph\n"))
	if len(got) != 3 || got["A"] != "one" || got["B"] != "two: three" || got["C"] != "" {
		t.Errorf("%q", got)
	}
}

// TestOpenFollowsLinks opens a store that lies behind a link: the folders that it hands out have none in their paths.
func TestOpenFollowsLinks(t *testing.T) {
	real, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "cache")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	s, err := Open(filepath.Join(link, "debian"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(real, "debian"); s.dir != want {
		t.Errorf("the store is in %s, want %s", s.dir, want)
	}
}
