// Package userland builds the small set of commands that test guests, the demo machine and an isolated nested host have: u-root's, as
// one static binary. The commands are those that the go.mod of images/uroot lists as tools; that module is apart
// because its hundred dependencies are nobody else's business.
//
// Building needs the Go toolchain and this project's sources, takes most of a minute the first time, and is cached afterwards.
package userland

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sharevm/vmm/images/initramfs"
)

// ErrNoSources is what Build wraps outside of the project's source tree when nothing has been cached.
var ErrNoSources = errors.New("the userland can only be built from the sources of vmm, with Go installed")

// BusyBox is the built binary and the commands in it.
type BusyBox struct {
	Path     string   // of the binary on the host
	Commands []string // names by which it has to be called
}

// Build returns the busybox, which it builds unless the cache has it. sources is the folder images/uroot; "" finds it from the current folder.
// progress hears what takes long and may be nil.
func Build(ctx context.Context, sources string, progress func(string)) (BusyBox, error) {
	if sources == "" {
		var err error
		if sources, err = find(ctx); err != nil {
			return BusyBox{}, err
		}
	}
	mod, err := os.ReadFile(filepath.Join(sources, "go.mod"))
	if err != nil {
		return BusyBox{}, fmt.Errorf("%w: %w", ErrNoSources, err)
	}
	sum, err := os.ReadFile(filepath.Join(sources, "go.sum"))
	if err != nil {
		return BusyBox{}, fmt.Errorf("%w: %w", ErrNoSources, err)
	}
	packages := tools(mod)
	b := BusyBox{}
	for _, p := range packages {
		b.Commands = append(b.Commands, path.Base(p))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return BusyBox{}, fmt.Errorf("finding a folder for the userland: %w", err)
	}
	shell, err := os.ReadFile(filepath.Join(sources, "sh", "main.go"))
	if err != nil {
		return BusyBox{}, fmt.Errorf("%w: %w", ErrNoSources, err)
	}
	key := sha256.Sum256(slices.Concat(mod, sum, shell, []byte(runtime.Version())))
	b.Path = filepath.Join(cache, "vmm", "userland", fmt.Sprintf("%x", key[:8]), "bb")
	if _, err := os.Stat(b.Path); err == nil {
		return b, nil
	}
	if progress != nil {
		progress(fmt.Sprintf("building a userland of %d commands", len(packages)))
	}
	return b, build(ctx, sources, packages, b.Path)
}

// build runs gobusybox beside out and renames when it is done, so that neither an interrupted nor a concurrent run does harm.
func build(ctx context.Context, sources string, packages []string, out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("building the userland: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), "tmp-")
	if err != nil {
		return fmt.Errorf("building the userland: %w", err)
	}
	defer os.RemoveAll(tmp)
	goroot, err := output(ctx, sources, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	bb := filepath.Join(tmp, "bb")
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", builder, "-o", bb}, packages...)...)
	cmd.Dir = sources
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOROOT="+goroot, "TMPDIR="+tmp, "GOWORK=off")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the userland: %w\n%s", err, said.Bytes())
	}
	if err := os.Rename(bb, out); err != nil {
		return fmt.Errorf("building the userland: %w", err)
	}
	return nil
}

// builder is the tool that makes a busybox of the others.
const builder = "makebb"

// tools returns the commands among the tools of a go.mod.
func tools(mod []byte) []string {
	var out []string
	for line := range strings.Lines(string(mod)) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "tool "))
		if strings.HasPrefix(line, "github.com/") && !strings.Contains(line, " ") && path.Base(line) != builder {
			out = append(out, line)
		}
	}
	return out
}

// find returns images/uroot of the project that the current folder belongs to.
func find(ctx context.Context) (string, error) {
	dir, err := output(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sharevm/vmm")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoSources, err)
	}
	return filepath.Join(dir, "images", "uroot"), nil
}

func output(ctx context.Context, dir, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", tool, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Files are the entries of an initramfs or a root folder with the busybox and a link for each command in bin.
func (b BusyBox) Files() []initramfs.File {
	files := []initramfs.File{
		{Name: "bin/bb", Mode: 0o755, Path: b.Path},
	}
	for _, c := range b.Commands {
		files = append(files, initramfs.File{Name: "bin/" + c, Link: "bb"})
	}
	return files
}
