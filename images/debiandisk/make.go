package debiandisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
)

// Disk is a finished disk in two formats.
type Disk struct{ VMDK, VHDX string }

// ErrRoot is what Make wraps where it lacks the rights to make the disk.
var ErrRoot = errors.New("only root can unpack Debian with its owners and devices")

// version is raised when the disk changes in a way that its packages and files don't tell.
const version = "3"

// Make returns the disk, which it makes unless the cache has it. Progress hears what takes long and may be nil.
func Make(ctx context.Context, progress func(string)) (Disk, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Disk{}, fmt.Errorf("finding a folder for Debian's disk: %w", err)
	}
	dir := filepath.Join(cache, "vmm", "debiandisk", key())
	d := Disk{VMDK: filepath.Join(dir, "debian.vmdk"), VHDX: filepath.Join(dir, "debian.vhdx")}
	if _, err := os.Stat(dir); err == nil {
		return d, nil
	}
	if os.Geteuid() != 0 {
		return Disk{}, fmt.Errorf("%w; %s has none from an earlier run", ErrRoot, dir)
	}
	if progress != nil {
		progress("making a disk with Debian, which takes a minute")
	}
	if err := build(ctx, dir); err != nil {
		return Disk{}, fmt.Errorf("making a disk with Debian: %w", err)
	}
	return d, nil
}

// key is a name for what the disk is made of.
func key() string {
	h := sha256.New()
	fmt.Fprint(h, version, suite, packages, excluded, commands, grubModules, sizes)
	for _, f := range files {
		fmt.Fprint(h, f)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// build makes everything beside dir, which appears when all is done.
func build(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root, flat, done := filepath.Join(work, "root"), filepath.Join(work, "debian.raw"), filepath.Join(work, "done")
	if err := unpack(ctx, root); err != nil {
		return err
	}
	if err := layOut(ctx, flat, root, work); err != nil {
		return err
	}
	if err := os.Mkdir(done, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"debian.vmdk", "debian.vhdx"} {
		if _, err := tools.Convert(ctx, flat, filepath.Join(done, name), tools.ConvertOptions{Out: disk.CreateOptions{}}); err != nil {
			return err
		}
	}
	if err := os.Rename(done, dir); err != nil && !errors.Is(err, os.ErrExist) { // somebody else was faster
		return err
	}
	return nil
}

// run runs a program whose output is only of interest if it fails.
func run(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	// Debian keeps some of them outside of a plain PATH.
	c.Env = append(slices.Clone(os.Environ()), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s (make setup installs what is needed)", name, err, bytes.TrimSpace(out))
	}
	return nil
}
