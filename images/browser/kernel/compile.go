package kernel

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/debian"
)

// tools are the programs and headers that compiling takes, and the packages that they are in.
var tools = []struct{ path, pack string }{
	{"gcc", "gcc"}, {"make", "make"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"}, {"xz", "xz-utils"}, {"strip", "binutils"}, {"/usr/include/libelf.h", "libelf-dev"},
}

// needTools returns an error that names the packages that are missing.
func needTools() error {
	var missing []string
	for _, t := range tools {
		var err error
		if filepath.IsAbs(t.path) {
			_, err = os.Stat(t.path)
		} else {
			_, err = exec.LookPath(t.path)
		}
		if err != nil {
			missing = append(missing, t.pack)
		}
	}
	if missing != nil {
		return fmt.Errorf("compiling a kernel takes packages that are missing: apt-get install %s", strings.Join(missing, " "))
	}
	return nil
}

// builder compiles in a folder of its own.
type builder struct {
	dir string
	say debian.Progress
}

func (b *builder) report(format string, args ...any) {
	if b.say != nil {
		b.say(fmt.Sprintf(format, args...))
	}
}

// compile makes Image of the sources in a tar file whose only folder is called name, and returns its release.
func (b *builder) compile(ctx context.Context, tar, name string) (release string, err error) {
	b.report("unpacking the kernel's sources")
	if _, err := b.run(ctx, b.dir, "tar", "-xf", tar); err != nil {
		return "", err
	}
	tree := filepath.Join(b.dir, name)
	if err := b.configure(ctx, tree); err != nil {
		return "", err
	}
	if err := b.make(ctx, tree); err != nil {
		return "", err
	}
	out, err := b.run(ctx, tree, "make", "-s", "kernelrelease")
	if err != nil {
		return "", err
	}
	_, err = b.run(ctx, tree, "strip", "-s", "-o", filepath.Join(b.dir, Image), "vmlinux")
	return string(bytes.TrimSpace(out)), err
}

// configure lays our options over an empty configuration. One that the sources do not take is an error: it would be missing without a word.
func (b *builder) configure(ctx context.Context, tree string) error {
	fragment := filepath.Join(b.dir, "small.config")
	if err := os.WriteFile(fragment, []byte(config), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"make", "-s", "tinyconfig"}, {"scripts/kconfig/merge_config.sh", "-m", ".config", fragment}, {"make", "-s", "olddefconfig"}} {
		if _, err := b.run(ctx, tree, args[0], args[1:]...); err != nil {
			return err
		}
	}
	got, err := os.ReadFile(filepath.Join(tree, ".config"))
	if err != nil {
		return err
	}
	if lost := ignored(config, string(got)); lost != nil {
		return fmt.Errorf("configuring the kernel: its sources do not take %s", strings.Join(lost, ", "))
	}
	return nil
}

// ignored returns the options of want that are otherwise in got. An option that is off is not in it.
func ignored(want, got string) (lost []string) {
	set := map[string]bool{}
	on := map[string]bool{}
	for line := range strings.Lines(got) {
		line = strings.TrimSpace(line)
		set[line] = true
		if name, _, ok := strings.Cut(line, "="); ok {
			on[name] = true
		}
	}
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if value == "n" && on[name] || value != "n" && !set[line] {
			lost = append(lost, line)
		}
	}
	return lost
}

// make compiles, and says now and then how far it is.
func (b *builder) make(ctx context.Context, tree string) error {
	cmd := b.command(ctx, tree, "make", fmt.Sprintf("-j%d", runtime.NumCPU()), "vmlinux")
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var files int
	var said time.Time
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "CC ") {
			files++
		}
		if now := time.Now(); now.Sub(said) >= 5*time.Second {
			b.report("compiling the kernel: %d files, of about 1400", files)
			said = now
		}
	}
	_, _ = io.Copy(io.Discard, out) // what was too long for a line, and all behind it: make would wait for a reader
	switch err := cmd.Wait(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("compiling the kernel: %w\n%s", err, tail(wrong.Bytes()))
	}
	return nil
}

// command is one that does not learn when, where and by whom it is run, nor what a make around it was told.
func (b *builder) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // make ends its compilers then
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "LC_ALL=C", "KBUILD_BUILD_TIMESTAMP=@0", "KBUILD_BUILD_USER=vmm", "KBUILD_BUILD_HOST=vmm", "KBUILD_BUILD_VERSION=1"}
	return cmd
}

func (b *builder) run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := b.command(ctx, dir, name, args...)
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s is missing", name)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(wrong.Bytes()))
	}
	return out, nil
}

// tail is the end of what a tool said.
func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }
