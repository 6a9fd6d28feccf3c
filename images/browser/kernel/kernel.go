package kernel

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/internal/debian"
)

// The files of a kernel's folder.
const (
	Image     = "vmlinux"
	Copyright = "vmlinux.copyright"
	aboutName = "kernel.json"
)

var (
	//go:embed small.config
	config string
	//go:embed source.lock
	source string
)

// Kernel is a small kernel in a folder.
type Kernel struct {
	Inputs  string // hash of what it was made from, the compiler apart
	Release string // as uname -r has it
	Source  debian.Pin
}

// Read returns the kernel in folder.
func Read(folder string) (Kernel, error) {
	path := filepath.Join(folder, aboutName)
	b, err := os.ReadFile(path)
	if err != nil {
		return Kernel{}, fmt.Errorf("reading the small kernel (vmm image build kernel makes one): %w", err)
	}
	var k Kernel
	if err := json.Unmarshal(b, &k); err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range []string{Image, Copyright} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			return Kernel{}, fmt.Errorf("reading the small kernel: %w", err)
		}
	}
	return k, nil
}

// Build brings the kernel in folder up to date. It compiles in a folder beside it, which takes 1.6 GB for a while.
func Build(ctx context.Context, folder string, progress debian.Progress) error {
	pin, err := debian.ParsePin(strings.TrimSpace(source))
	if err != nil {
		return err
	}
	k := Kernel{Inputs: fmt.Sprintf("%x", sha256.Sum256([]byte(pin.String()+"\n"+config))), Source: pin}
	if was, err := Read(folder); err == nil && was.Inputs == k.Inputs {
		return nil
	}
	if err := needTools(); err != nil {
		return err
	}
	store, err := debian.Open("", progress)
	if err != nil {
		return err
	}
	dirs, err := store.Pinned(ctx, []debian.Pin{pin})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil { // tools run in folders of their own
		return err
	}
	tmp, err := os.MkdirTemp(folder, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := builder{dir: tmp, say: progress}
	if k.Release, err = b.compile(ctx, filepath.Join(dirs[0], "usr/src", pin.Name+".tar.xz"), pin.Name); err != nil {
		return err
	}
	notice, err := os.ReadFile(filepath.Join(dirs[0], "usr/share/doc", pin.Name, "copyright"))
	if err != nil {
		return fmt.Errorf("the kernel's licence: %w", err)
	}
	about, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(folder, Copyright), notice, 0o644),
		os.Rename(filepath.Join(tmp, Image), filepath.Join(folder, Image)),
		os.WriteFile(filepath.Join(folder, aboutName), append(about, '\n'), 0o644), // last: it says that the rest is there
	)
}
