package vmlinux

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/pvh"
)

const (
	cachePrefix = "vmlinux-"
	cacheKept   = 4 // kernels
)

// Open returns the ELF kernel inside bzImage as an open file: from folder, where an earlier call left it, or else unpacked
// to there. The folder is created if need be and holds the last few kernels. A kernel that cannot be booted by PVH is an error
// that wraps [payload.ErrUnsupported], upon which the caller boots bzImage itself; so may it after any other error.
func Open(folder string, bzImage *os.File) (*os.File, error) {
	source, err := payload.FromOS(bzImage)
	if err != nil {
		return nil, err
	}
	name, err := cacheName(bzImage)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source.Name, err)
	}
	path := filepath.Join(folder, name)
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		if err = fill(folder, path, source); err == nil {
			f, err = os.Open(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unpacked kernel: %w", err)
	}
	if err := bootable(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func bootable(f *os.File) error {
	file, err := payload.FromOS(f)
	if err != nil {
		return err
	}
	return pvh.Check(file)
}

// cacheName tells one state of a file from all others, without reading it.
func cacheName(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Append(nil, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim))
	return fmt.Sprintf("%s%x", cachePrefix, sum[:12]), nil
}

// fill unpacks source to path. The file appears there whole or not at all.
func fill(folder, path string, source payload.File) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	prune(folder)
	temp, err := os.CreateTemp(folder, ".unpack-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	_, err = Extract(temp, source)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// prune removes the oldest kernels so that another one may join. What cannot be removed stays.
func prune(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	var kernels []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), cachePrefix) {
			kernels = append(kernels, info)
		}
	}
	slices.SortFunc(kernels, func(a, b os.FileInfo) int { return cmp.Compare(b.ModTime().UnixNano(), a.ModTime().UnixNano()) })
	for _, k := range kernels[min(len(kernels), cacheKept-1):] {
		os.Remove(filepath.Join(folder, k.Name()))
	}
}
