package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Flavour is one of Debian's kernel configurations for amd64.
type Flavour string

// The flavours. Cloud has the drivers of virtual machines only, and no 9p; Generic has everything as modules.
const (
	Cloud   Flavour = "cloud"
	Generic Flavour = "generic"
)

// meta is the package that depends on the flavour's newest kernel.
func (f Flavour) meta() (string, error) {
	switch f {
	case Cloud:
		return "linux-image-cloud-amd64", nil
	case Generic:
		return "linux-image-amd64", nil
	}
	return "", fmt.Errorf("unknown kernel flavour %q: choose %q or %q", string(f), Cloud, Generic)
}

// Kernel is an unpacked Debian kernel.
type Kernel struct {
	Release    string // as uname -r has it, such as 6.1.0-56-cloud-amd64
	Vmlinuz    string // path of the compressed bzImage
	Vmlinux    string // path of the same kernel as an uncompressed ELF file, to be started by PVH
	ModulesDir string // path of its lib/modules/RELEASE; there is no modules.dep
}

// Kernel returns the kernel of a flavour that was fetched last, or else fetches the newest.
func (s *Store) Kernel(ctx context.Context, f Flavour) (Kernel, error) {
	return s.kernel(ctx, f, s.Package)
}

// UpdateKernel fetches the newest kernel of a flavour unless it is there.
func (s *Store) UpdateKernel(ctx context.Context, f Flavour) (Kernel, error) {
	return s.kernel(ctx, f, s.Update)
}

func (s *Store) kernel(ctx context.Context, f Flavour, get func(context.Context, string) (string, error)) (Kernel, error) {
	meta, err := f.meta()
	if err != nil {
		return Kernel{}, err
	}
	metaDir, err := get(ctx, meta)
	if err != nil {
		return Kernel{}, err
	}
	name, err := s.image(ctx, meta, filepath.Base(metaDir))
	if err != nil {
		return Kernel{}, err
	}
	dir, err := s.Package(ctx, name)
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Release: strings.TrimPrefix(name, imagePrefix)}
	return k, s.locate(ctx, &k, dir)
}

const imagePrefix = "linux-image-"

// image finds the name of the kernel package that a version of a meta package depends on, and remembers it beside the unpacked
// packages so that the next run needs no apt.
func (s *Store) image(ctx context.Context, meta, version string) (string, error) {
	memo := filepath.Join(s.dir, version+".image")
	if b, err := os.ReadFile(memo); err == nil && packageName().Match(b) {
		return string(b), nil
	}
	return s.locked(ctx, func() (string, error) {
		fields, err := show(ctx, meta, s.progress)
		if err != nil {
			return "", err
		}
		for dep := range strings.SplitSeq(fields["Depends"], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(dep), " ")
			if strings.HasPrefix(name, imagePrefix) && packageName().MatchString(name) {
				return name, writeFile(s.dir, memo, []byte(name))
			}
		}
		return "", fmt.Errorf("package %s depends on no kernel: %q", meta, fields["Depends"])
	})
}

// vmlinux unpacks the kernel's ELF file beside its vmlinuz unless it is there.
func (s *Store) vmlinux(ctx context.Context, k Kernel) (string, error) {
	path := filepath.Join(filepath.Dir(k.Vmlinuz), "vmlinux-"+k.Release)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return s.locked(ctx, func() (string, error) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		s.progress.say("unpacking the kernel %s", k.Release)
		image, err := os.ReadFile(k.Vmlinuz)
		if err != nil {
			return "", fmt.Errorf("reading the kernel: %w", err)
		}
		elf, err := ExtractELF(ctx, image)
		if err != nil {
			return "", fmt.Errorf("unpacking %s: %w", k.Vmlinuz, err)
		}
		return path, writeFile(s.dir, path, elf)
	})
}

// writeFile makes a file appear under its name only when it is complete.
func writeFile(tmpDir, path string, b []byte) error {
	tmp, err := os.CreateTemp(tmpDir, "tmp-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
