package browser

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sharevm/vmm/images/erofs"
	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
)

// Options say how to build.
type Options struct {
	// Init is the path of the compiled init; "" compiles it, which needs the Go toolchain and the project as current folder.
	Init string
	// Kernel is the folder of a small kernel that takes the place of Debian's; see package kernel.
	Kernel   string
	Progress debian.Progress
}

// edition changes with everything that decides over the bytes but is no other input: layout, modes, file systems.
const edition = "1"

// Build brings the machine's folder up to date. A .vmx that was changed since it was made stays as it is.
func Build(ctx context.Context, folder string, o Options) error {
	pins, err := parseLock(lockText)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(folder, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	init := o.Init
	if init == "" {
		init = filepath.Join(tmp, "init")
		if err := buildInit(ctx, init); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return fmt.Errorf("the browser machine's init: %w", err)
	}
	var small *smallKernel
	if o.Kernel != "" {
		if small, err = readSmall(o.Kernel); err != nil {
			return err
		}
	}
	inputs := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%q\n%q\n%s\n%s\n%x\n%s", edition, lockText, wanted, modules, vmxText, startPage, sha256.Sum256(program), small.sum())))
	was := readManifest(folder)
	if was.current(folder, inputs) {
		return nil
	}
	store, err := debian.Open("", o.Progress)
	if err != nil {
		return err
	}
	packages, err := unpack(ctx, store, pins)
	if err != nil {
		return err
	}
	b := builder{dir: tmp, init: init, store: store, small: small, progress: o.Progress, made: manifest{Inputs: inputs, Files: map[string]file{}}}
	if err := b.all(ctx, packages); err != nil {
		return err
	}
	return b.publish(folder, &was)
}

// buildInit compiles the init. Neither the folder nor the revision of the project gets into it.
func buildInit(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "github.com/sharevm/vmm/images/browser/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compiling the browser machine's init: %w\n%s", err, said.Bytes())
	}
	return nil
}

// builder makes the files in a folder of their own.
type builder struct {
	dir      string
	init     string
	store    *debian.Store
	small    *smallKernel // nil: Debian's
	progress debian.Progress
	made     manifest
}

func (b *builder) say(format string, args ...any) {
	if b.progress != nil {
		b.progress(fmt.Sprintf(format, args...))
	}
}

func (b *builder) all(ctx context.Context, packages []unpacked) error {
	image, rest, err := splitKernel(packages)
	if err != nil {
		return err
	}
	kernel, err := b.kernel(ctx, image)
	if err != nil {
		return err
	}
	b.made.Kernel = kernel.release
	b.say("making %s", rootName)
	if err := b.root(rest); err != nil {
		return err
	}
	b.say("making %s", initrdName)
	if err := b.initrd(kernel.modules); err != nil {
		return err
	}
	entry, err := entryOf(kernel.source, kernel.notice)
	if err != nil {
		return err
	}
	b.made.Packages = append(b.made.Packages, entry)
	return errors.Join(
		filecopy.Copy(kernel.image, filepath.Join(b.dir, kernelName)),
		filecopy.Copy(kernel.notice, filepath.Join(b.dir, kernelNotice)),
		os.WriteFile(filepath.Join(b.dir, vmxName), []byte(vmxText), 0o644),
	)
}

// root makes the root disk.
func (b *builder) root(packages []unpacked) error {
	files, used, err := contents(packages)
	if err != nil {
		return err
	}
	for _, p := range packages {
		if !used[p.Name] {
			return fmt.Errorf("packages.lock: nothing of %s is used", p.Name)
		}
		t := "usr/share/doc/" + p.Name + "/copyright"
		for _, f := range files {
			if f.Name == t {
				entry, err := entryOf(p.Pin, f.Path)
				if err != nil {
					return err
				}
				b.made.Packages = append(b.made.Packages, entry)
			}
		}
	}
	files = append(files, erofs.File{Name: sessionPath, Mode: 0o755, Path: b.init})
	out, err := os.Create(filepath.Join(b.dir, rootFlatName))
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	size, err := erofs.Write(w, append(files, skeleton...), erofs.Config{Label: "browser", UUID: sha128(b.made.Inputs), Time: time.Unix(0, 0)})
	if err != nil {
		return fmt.Errorf("making the root disk: %w", err)
	}
	if err := errors.Join(w.Flush(), out.Close()); err != nil {
		return fmt.Errorf("making the root disk: %w", err)
	}
	return writeDescriptor(filepath.Join(b.dir, rootName), size)
}

// sha128 is half of a hash: an identifier that follows from the inputs.
func sha128(s string) (id [16]byte) {
	sum := sha256.Sum256([]byte(s))
	copy(id[:], sum[:])
	return id
}

func (b *builder) initrd(mods []initramfs.Module) error {
	f, err := os.Create(filepath.Join(b.dir, initrdName))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := initramfs.Build(f, initramfs.Config{Init: b.init, Modules: mods}); err != nil {
		return err
	}
	return f.Close()
}

// publish moves the files to their places, the manifest last.
func (b *builder) publish(folder string, was *manifest) error {
	keep, err := was.untouched(folder, vmxName)
	if err != nil {
		return err
	}
	for _, name := range []string{rootFlatName, rootName, kernelName, kernelNotice, initrdName, vmxName} {
		made := filepath.Join(b.dir, name)
		if b.made.Files[name], err = describe(made); err != nil {
			return err
		}
		if name == vmxName && !keep {
			b.say("%s was changed since it was made: it stays as it is", filepath.Join(folder, name))
			continue
		}
		if err := os.Rename(made, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	made := filepath.Join(b.dir, manifestName)
	if err := b.made.write(made); err != nil {
		return err
	}
	return os.Rename(made, filepath.Join(folder, manifestName))
}
