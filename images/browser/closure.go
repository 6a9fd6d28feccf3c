package browser

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// libraryFolders are where Debian's dynamic linker looks without a cache.
var libraryFolders = []string{"usr/lib/x86_64-linux-gnu", "usr/lib"}

// needs are the paths of the libraries and the dynamic linker that an ELF file asks for; none for any other file.
func (t tree) needs(name string, s source) ([]string, error) {
	if is, err := isELF(s.path); err != nil || !is {
		return nil, err
	}
	f, err := elf.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return nil, nil
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("reading what %s needs: %w", name, err)
	}
	folders, err := searchPath(name, f)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, lib := range libs {
		i := slices.IndexFunc(folders, func(dir string) bool { _, ok := t[path.Join(dir, lib)]; return ok })
		if i < 0 {
			return nil, fmt.Errorf("%s needs %s, which no package has", name, lib)
		}
		all = append(all, path.Join(folders[i], lib))
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		interp := make([]byte, min(p.Filesz, 4096))
		if _, err := p.ReadAt(interp, 0); err != nil {
			return nil, fmt.Errorf("reading the dynamic linker of %s: %w", name, err)
		}
		all = append(all, canonical(strings.TrimRight(string(interp), "\x00")))
	}
	return all, nil
}

// isELF looks at how a file begins.
func isELF(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var b [len(elf.ELFMAG)]byte
	_, err = io.ReadFull(f, b[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return string(b[:]) == elf.ELFMAG, err
}

// searchPath is where the libraries of an ELF file are looked for.
func searchPath(name string, f *elf.File) ([]string, error) {
	var folders []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		list, err := f.DynString(tag)
		if err != nil {
			return nil, fmt.Errorf("reading where %s looks for libraries: %w", name, err)
		}
		for _, l := range list {
			for dir := range strings.SplitSeq(l, ":") {
				dir = strings.NewReplacer("$ORIGIN", "/"+path.Dir(name), "${ORIGIN}", "/"+path.Dir(name)).Replace(dir)
				folders = append(folders, canonical(dir))
			}
		}
	}
	return append(folders, libraryFolders...), nil
}

// closure adds to names what they lead to: the targets of links, libraries, the dynamic linker.
func (t tree) closure(names []string) (map[string]source, error) {
	taken := map[string]source{}
	for len(names) > 0 {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		if _, ok := taken[name]; ok {
			continue
		}
		_, way, err := t.resolve(name)
		if err != nil {
			return nil, err
		}
		for _, w := range way {
			taken[w] = t[w]
		}
		last := way[len(way)-1]
		more, err := t.needs(last, t[last])
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	return taken, nil
}
