package browser

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sharevm/vmm/images/erofs"
)

// wanted are the files that the machine needs, folders with a slash at the end with all that is in them. What they are linked against comes by itself.
var wanted = []string{
	// The browser.
	"usr/lib/chromium/chromium",
	"usr/lib/chromium/chrome_crashpad_handler",
	"usr/lib/chromium/chrome_100_percent.pak",
	"usr/lib/chromium/chrome_200_percent.pak",
	"usr/lib/chromium/resources.pak",
	"usr/lib/chromium/icudtl.dat",
	"usr/lib/chromium/v8_context_snapshot.bin",
	"usr/lib/chromium/libEGL.so",
	"usr/lib/chromium/libGLESv2.so",
	"usr/lib/chromium/locales/",
	// What NSS loads by name.
	"usr/lib/x86_64-linux-gnu/libsoftokn3.so",
	"usr/lib/x86_64-linux-gnu/libfreebl3.so",
	"usr/lib/x86_64-linux-gnu/libfreeblpriv3.so",
	// The compositor, keyboard layouts, and the peculiarities of input devices.
	"usr/bin/cage",
	"usr/share/X11/xkb/",
	"usr/share/libinput/",
	// Fonts.
	"etc/fonts/",
	"usr/share/fontconfig/",
	"usr/share/fonts/truetype/",
	"usr/share/fonts-droid-fallback/truetype/",
	// The C library's own.
	"usr/lib/locale/C.utf8/",
	"usr/lib/x86_64-linux-gnu/libnss_dns.so.2",
	"usr/lib/x86_64-linux-gnu/libnss_files.so.2",
}

// setuid are the programs that get root's rights: cage opens the graphics card, and drops them.
var setuid = []string{"usr/bin/cage"}

// contents returns the files of the root disk that come from packages, in the order of their names, and the names of the packages they are from.
func contents(packages []unpacked) ([]erofs.File, map[string]bool, error) {
	t, err := merge(packages)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, w := range wanted {
		folder, ok := strings.CutSuffix(w, "/")
		if !ok {
			names = append(names, w)
			continue
		}
		below := t.below(folder)
		if len(below) == 0 {
			return nil, nil, fmt.Errorf("no package has anything in %s", folder)
		}
		names = append(names, below...)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return t.dangling(n) })
	taken, err := t.closure(names)
	if err != nil {
		return nil, nil, err
	}
	used := map[string]bool{}
	for _, s := range taken {
		used[s.pkg] = true
	}
	// Whoever passes the machine on passes their licences on with it.
	pending := slices.Collect(maps.Keys(used))
	for len(pending) > 0 {
		pkg := pending[0]
		pending = pending[1:]
		name, s, err := t.copyright(pkg)
		if err != nil {
			return nil, nil, err
		}
		taken[name] = s
		if !used[s.pkg] { // the text is another package's
			used[s.pkg] = true
			pending = append(pending, s.pkg)
		}
	}
	var files []erofs.File
	for name, s := range taken {
		f := erofs.File{Name: name, Path: s.path, Link: s.link}
		switch {
		case slices.Contains(setuid, name):
			f.Mode = 0o4755
		case s.exec:
			f.Mode = 0o755
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b erofs.File) int { return strings.Compare(a.Name, b.Name) })
	return files, used, nil
}

// dangling says that a name leads to something that is in none of the packages, as do links to documentation.
func (t tree) dangling(name string) bool {
	_, _, err := t.resolve(name)
	return err != nil && t[name].link != ""
}

// copyright finds the file with a package's licences. The folder that it lies in may be a link to another package's.
func (t tree) copyright(pkg string) (name string, s source, err error) {
	dir := "usr/share/doc/" + pkg
	for range maxLinks {
		l, ok := t[dir]
		if !ok || l.link == "" {
			break
		}
		dir = target(dir, l.link)
	}
	s, way, err := t.resolve(path.Join(dir, "copyright"))
	if err != nil {
		return "", s, fmt.Errorf("the licences of package %s: %w", pkg, err)
	}
	return "usr/share/doc/" + pkg + "/copyright", t[way[len(way)-1]], nil
}
