package browser

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// source is one file of a package.
type source struct {
	pkg  string // name of the package
	path string // of the host
	link string // target, if it is a symbolic link
	exec bool
}

// tree is the files of all packages by their paths in the machine, as Debian lays them out since its merge of /usr: bin, lib, lib64 and sbin lead there.
type tree map[string]source

// merged are the folders that are links into /usr.
var merged = []string{"bin", "lib", "lib64", "sbin"}

// canonical is a path in the machine without a leading slash and with /usr where it belongs.
func canonical(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if first, _, _ := strings.Cut(p, "/"); slices.Contains(merged, first) {
		return "usr/" + p
	}
	return p
}

// merge lays packages over each other.
func merge(packages []unpacked) (tree, error) {
	t := tree{}
	for _, p := range packages {
		err := filepath.WalkDir(p.dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(p.dir, file)
			if err != nil {
				return err
			}
			s := source{pkg: p.Name, path: file}
			switch d.Type() {
			case 0:
				info, err := d.Info()
				if err != nil {
					return err
				}
				s.exec = info.Mode()&0o111 != 0
			case fs.ModeSymlink:
				if s.link, err = os.Readlink(file); err != nil {
					return err
				}
			default:
				return nil
			}
			name := canonical(rel)
			if other, ok := t[name]; ok && other.pkg != p.Name {
				return fmt.Errorf("%s is in the packages %s and %s", name, other.pkg, p.Name)
			}
			t[name] = s
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading package %s: %w", p.Name, err)
		}
	}
	return t, nil
}

// maxLinks bounds a chain of symbolic links.
const maxLinks = 16

// target is where a link at name leads.
func target(name, link string) string {
	if path.IsAbs(link) {
		return canonical(link)
	}
	return canonical(path.Join(path.Dir(name), link))
}

// resolve follows links to a file. The names on the way, the last included, are returned too.
func (t tree) resolve(name string) (s source, way []string, err error) {
	for range maxLinks {
		s, ok := t[name]
		if !ok {
			return s, nil, fmt.Errorf("no package has %s", name)
		}
		way = append(way, name)
		if s.link == "" {
			return s, way, nil
		}
		name = target(name, s.link)
	}
	return s, nil, fmt.Errorf("too many symbolic links at %s", name)
}

// below are the names in a folder, in order.
func (t tree) below(folder string) []string {
	var all []string
	for name := range t {
		if strings.HasPrefix(name, folder+"/") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
