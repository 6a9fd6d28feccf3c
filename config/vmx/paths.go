package vmx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Reasons why a file is not given to a machine.
var (
	errMissing = errors.New("no such file")
	errOutside = errors.New("lies outside the folder of the .vmx")
)

const (
	adviceOutside = "move the file there, or allow it with --allow-outside"
	adviceDevices = "allow it with --allow-host-devices"
	adviceNetwork = "allow it with --allow-host-access"
)

// path finds the absolute place of a file that a key names, following symbolic links. The file may be missing
// (errMissing); what exists must be a regular file that is not the .vmx itself.
func (l *loader) path(name string) (string, error) {
	real, info, err := l.find(name)
	if err != nil {
		return real, err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", l.place(name))
	}
	if own, err := os.Stat(l.f.name); err == nil && os.SameFile(own, info) {
		return "", fmt.Errorf("%s is the machine file itself", l.place(name))
	}
	return real, nil
}

// folder finds the absolute place of a folder, as path does for a file. The .vmx is never among what is below it; it refuses the key otherwise.
func (l *loader) folder(key, name string) string {
	at := l.place(name)
	real, info, err := l.find(name)
	switch {
	case at == l.dir || err == nil && inside(real, filepath.Join(l.dir, "x")):
		l.refuse(key, "put the files into a folder of their own", "%s holds the machine itself", at)
	case err != nil:
		l.refuse(key, advice(err), "%v", err)
	case !info.IsDir():
		l.refuse(key, "", "%s is not a folder", at)
	default:
		return real
	}
	return ""
}

// find is path for whatever is there.
func (l *loader) find(name string) (string, fs.FileInfo, error) {
	if isWindowsPath(name) {
		return "", nil, fmt.Errorf("%q is a path on a Windows host: put the file beside the .vmx and give its name alone", clip(name))
	}
	if strings.ContainsAny(name, "\x00\n") {
		return "", nil, fmt.Errorf("%q cannot be a file name", clip(name))
	}
	at := l.place(name)
	if !l.mayRead(at) && !l.mayRead(resolveParent(at)) {
		return "", nil, fmt.Errorf("%s: %w", at, errOutside)
	}
	real, err := filepath.EvalSymlinks(at)
	if errors.Is(err, fs.ErrNotExist) {
		if real = resolveParent(at); !l.mayRead(real) {
			return "", nil, fmt.Errorf("%s: %w", at, errOutside)
		}
		return real, nil, fmt.Errorf("%s: %w", at, errMissing)
	}
	if err != nil {
		return "", nil, err
	}
	if !l.mayRead(real) {
		return "", nil, fmt.Errorf("%s leads to %s, which %w", at, real, errOutside)
	}
	info, err := os.Stat(real)
	return real, info, err
}

// mayRead says whether the machine may name a place.
func (l *loader) mayRead(at string) bool { return l.opt.AllowOutside || inside(l.dir, at) }

// place is where a name points before links are followed. Backslashes part folders unless a file is really named so.
func (l *loader) place(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	at := filepath.Join(l.dir, name)
	if strings.Contains(name, `\`) {
		if _, err := os.Lstat(at); err != nil {
			at = filepath.Join(l.dir, strings.ReplaceAll(name, `\`, "/"))
		}
	}
	return at
}

// resolveParent follows the links of the folder that a missing file would lie in.
func resolveParent(at string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(at)); err == nil {
		return filepath.Join(dir, filepath.Base(at))
	}
	return at
}

// inside reports whether path lies below dir. Both are absolute and clean.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// isWindowsPath reports whether a name is absolute in Windows' way: C:\... or \\server\...
func isWindowsPath(name string) bool {
	if strings.HasPrefix(name, `\\`) {
		return true
	}
	letter := len(name) > 2 && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z')
	return letter && name[1] == ':' && (name[2] == '\\' || name[2] == '/')
}

// file is path for a file that has to exist; it refuses the key otherwise.
func (l *loader) file(key, name string) string {
	at, err := l.path(name)
	if err == nil {
		return at
	}
	l.refuse(key, advice(err), "%v", err)
	return ""
}

// advice is what to do about an error of path.
func advice(err error) string {
	if errors.Is(err, errOutside) {
		return adviceOutside
	}
	return ""
}

// locks looks for the folders in which VMware notes who has a file open.
func (l *loader) locks(files ...string) {
	for _, name := range files {
		entries, err := os.ReadDir(name + ".lck")
		if err != nil || len(entries) == 0 {
			continue
		}
		class, advice := Refused, "close it there; if VMware crashed, remove the folder or use --ignore-locks"
		if l.opt.IgnoreLocks {
			class, advice = Warned, ""
		}
		l.note("", class, fmt.Sprintf("VMware has %s open (%s.lck is not empty)", filepath.Base(name), filepath.Base(name)), advice)
	}
}
