package initramfs

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxModule bounds one unpacked kernel module in bytes. Debian's largest (amdgpu) has some 30 MiB with its symbols.
const maxModule = 256 << 20

// Module is a kernel module, unpacked.
type Module struct {
	Name string // as lsmod has it, with underscores
	Data []byte // the ELF file
}

// Modules reads the modules with the given names, and those that they depend on, from a kernel's lib/modules/RELEASE folder.
// Dependencies come before what needs them. Names that are built into the kernel are left out.
//
// What a module depends on is read from the module itself (its .modinfo section), not from modules.dep: that file is only made where a
// kernel gets installed.
func Modules(dir string, names ...string) ([]Module, error) {
	ix, err := newIndex(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := ix.add(n, "the list of modules"); err != nil {
			return nil, err
		}
	}
	return ix.order, nil
}

// index finds modules by name.
type index struct {
	dir     string
	paths   map[string]string // module name to file
	builtin map[string]bool
	state   map[string]int // 1 being added, 2 added
	order   []Module
}

func newIndex(dir string) (*index, error) {
	ix := &index{dir: dir, paths: map[string]string{}, builtin: map[string]bool{}, state: map[string]int{}}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if name, ok := moduleName(p); ok {
				ix.paths[name] = p
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the modules of the kernel: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the modules of the kernel: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			ix.builtin[name] = true
		}
	}
	return ix, nil
}

// moduleName makes the name of a module out of that of its file.
func moduleName(file string) (string, bool) {
	base := filepath.Base(file)
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		base = strings.TrimSuffix(base, ext)
	}
	name, ok := strings.CutSuffix(base, ".ko")
	return strings.ReplaceAll(name, "-", "_"), ok
}

func (ix *index) add(name, wantedBy string) error {
	name = strings.ReplaceAll(name, "-", "_")
	switch {
	case ix.builtin[name] || ix.state[name] == 2:
		return nil
	case ix.state[name] == 1:
		return fmt.Errorf("kernel module %s depends on itself", name)
	}
	file, ok := ix.paths[name]
	if !ok {
		return fmt.Errorf("kernel module %s, which %s needs, is neither in %s nor built in", name, wantedBy, ix.dir)
	}
	ix.state[name] = 1
	data, err := readModule(file)
	if err != nil {
		return err
	}
	deps, err := dependencies(data)
	if err != nil {
		return fmt.Errorf("reading kernel module %s: %w", file, err)
	}
	for _, d := range deps {
		if err := ix.add(d, "module "+name); err != nil {
			return err
		}
	}
	ix.state[name] = 2
	ix.order = append(ix.order, Module{Name: name, Data: data})
	return nil
}

// readModule reads a module's file and unpacks it by its extension.
func readModule(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading kernel module: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(file) {
	case ".gz":
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
		defer z.Close()
		r = z
	case ".xz":
		cmd := exec.Command("xz", "--decompress", "--stdout", file)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("unpacking %s by xz (Debian package xz-utils): %w", file, err)
		}
		r = bytes.NewReader(out)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(b) > maxModule {
		err = fmt.Errorf("more than %d bytes", maxModule)
	}
	if err != nil {
		return nil, fmt.Errorf("reading kernel module %s: %w", file, err)
	}
	return b, nil
}

// dependencies returns what the field depends of a module's .modinfo says.
func dependencies(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no .modinfo section: not a kernel module")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if v, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(v) > 0 {
			return strings.Split(string(v), ","), nil
		}
	}
	return nil, nil
}
