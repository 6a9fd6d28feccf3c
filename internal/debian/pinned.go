package debian

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Pin is one exact version of a package.
type Pin struct {
	Name    string
	Version string // with its epoch, if any
	SHA256  string // of the .deb file, in hexadecimal
}

// String is the spelling that ParsePin reads: NAME VERSION SHA256.
func (p Pin) String() string { return p.Name + " " + p.Version + " " + p.SHA256 }

// packageVersion is what Debian's policy allows as a version (section 5.6.12).
var packageVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9][0-9A-Za-z.+:~-]*$`) })

// ParsePin reads what String writes.
func ParsePin(line string) (Pin, error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return Pin{}, fmt.Errorf("%q is not a pinned package: want NAME VERSION SHA256", line)
	}
	p := Pin{f[0], f[1], f[2]}
	if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != sha256.Size || !packageName().MatchString(p.Name) || !packageVersion().MatchString(p.Version) {
		return Pin{}, fmt.Errorf("%q is not a pinned package: want NAME VERSION SHA256", line)
	}
	return p, nil
}

// folder is the name of the package's folder in a store: the same that apt gives the file, less architecture and extension.
func (p Pin) folder() string { return p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") }

// Pinned returns the folders into which packages are unpacked, in the order of pins. What is missing is downloaded in one go and must have the
// pinned checksum.
func (s *Store) Pinned(ctx context.Context, pins []Pin) ([]string, error) {
	var dirs []string
	for _, p := range pins {
		dirs = append(dirs, filepath.Join(s.dir, p.folder()))
	}
	if len(s.missing(pins)) == 0 {
		return dirs, nil
	}
	_, err := s.locked(ctx, func() (string, error) { return "", s.fetchPinned(ctx, s.missing(pins)) })
	return dirs, err
}

// missing are the packages that the store does not hold.
func (s *Store) missing(pins []Pin) (none []Pin) {
	return slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool {
		_, err := os.Stat(filepath.Join(s.dir, p.folder()))
		return err == nil
	})
}

// fetchPinned downloads, checks and unpacks packages. The store is locked.
func (s *Store) fetchPinned(ctx context.Context, pins []Pin) error {
	if len(pins) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp(s.dir, "tmp-")
	if err != nil {
		return fmt.Errorf("making a folder in the package cache: %w", err)
	}
	defer os.RemoveAll(tmp)
	s.progress.say("downloading %d packages", len(pins))
	args := []string{"-q", "-o", "APT::Sandbox::User=", "download"}
	for _, p := range pins {
		args = append(args, p.Name+"="+p.Version)
	}
	if _, err := run(ctx, tmp, "apt-get", args...); err != nil {
		return fmt.Errorf("downloading pinned packages (a version that Debian no longer has needs a new list of pins): %w", err)
	}
	for _, p := range pins {
		if err := s.storePinned(ctx, tmp, p); err != nil {
			return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
	}
	return nil
}

// storePinned checks and unpacks one downloaded package.
func (s *Store) storePinned(ctx context.Context, tmp string, p Pin) error {
	debs, err := filepath.Glob(filepath.Join(tmp, p.folder()+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get left %d files instead of one", len(debs))
	}
	sum, err := fileSum(debs[0])
	if err != nil {
		return err
	}
	if sum != p.SHA256 {
		return fmt.Errorf("its file has the checksum %s, pinned is %s", sum, p.SHA256)
	}
	s.progress.say("unpacking %s", p.folder())
	root := filepath.Join(tmp, "root-"+p.Name)
	if err := unpack(ctx, debs[0], root); err != nil {
		return err
	}
	if err := os.Remove(debs[0]); err != nil {
		return err
	}
	return os.Rename(root, filepath.Join(s.dir, p.folder()))
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Resolve pins what apt would install of packages, recommendations left out, on a machine that has nothing yet.
func (s *Store) Resolve(ctx context.Context, names []string) ([]Pin, error) {
	for _, n := range names {
		if !packageName().MatchString(n) {
			return nil, fmt.Errorf("%q is not the name of a package", n)
		}
	}
	empty, err := os.CreateTemp(s.dir, "tmp-")
	if err != nil {
		return nil, fmt.Errorf("making a file in the package cache: %w", err)
	}
	defer os.Remove(empty.Name())
	empty.Close()
	out, err := run(ctx, "", "apt-get", append([]string{"-q", "-y", "-o", "Dir::State::status=" + empty.Name(), "-o", "Debug::NoLocking=1",
		"-o", "APT::Install-Recommends=false", "--print-uris", "install"}, names...)...)
	if err != nil {
		return nil, fmt.Errorf("resolving packages (are apt's lists fresh?): %w", err)
	}
	wanted, err := parseURIs(out)
	if err != nil {
		return nil, err
	}
	shown, err := run(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions"}, wanted...)...)
	if err != nil {
		return nil, fmt.Errorf("looking up packages: %w", err)
	}
	var pins []Pin
	for para := range bytes.SplitSeq(shown, []byte("\n\n")) {
		if f := control(para); f["Package"] != "" {
			p, err := ParsePin(Pin{f["Package"], f["Version"], f["SHA256"]}.String())
			if err != nil {
				return nil, err
			}
			pins = append(pins, p)
		}
	}
	slices.SortFunc(pins, func(a, b Pin) int { return strings.Compare(a.String(), b.String()) })
	if pins = slices.Compact(pins); len(pins) != len(wanted) {
		return nil, fmt.Errorf("apt knows %d of %d packages", len(pins), len(wanted))
	}
	return pins, nil
}

// parseURIs reads the lines 'URI' NAME_VERSION_ARCH.deb SIZE SUM of apt-get --print-uris as NAME=VERSION.
func parseURIs(out []byte) ([]string, error) {
	var all []string
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		if !strings.HasPrefix(sc.Text(), "'") {
			continue
		}
		f := strings.Fields(sc.Text())
		if len(f) < 2 {
			return nil, fmt.Errorf("apt-get printed %q", sc.Text())
		}
		parts := strings.Split(f[1], "_")
		if len(parts) != 3 {
			return nil, fmt.Errorf("apt-get printed the file name %q", f[1])
		}
		all = append(all, parts[0]+"="+strings.ReplaceAll(parts[1], "%3a", ":"))
	}
	return all, nil
}

// PinnedKernel is the kernel in the folder of a package that Pinned returned.
func (s *Store) PinnedKernel(ctx context.Context, dir string) (Kernel, error) {
	name, _, _ := strings.Cut(filepath.Base(dir), "_")
	k := Kernel{Release: strings.TrimPrefix(name, imagePrefix)}
	return k, s.locate(ctx, &k, dir)
}

// locate fills in the paths of an unpacked kernel.
func (s *Store) locate(ctx context.Context, k *Kernel, dir string) (err error) {
	k.Vmlinuz = filepath.Join(dir, "boot", "vmlinuz-"+k.Release)
	k.ModulesDir = filepath.Join(dir, "lib", "modules", k.Release)
	if _, err := os.Stat(k.ModulesDir); errors.Is(err, fs.ErrNotExist) {
		k.ModulesDir = filepath.Join(dir, "usr", "lib", "modules", k.Release) // Debian 13 and later
	}
	k.Vmlinux, err = s.vmlinux(ctx, *k)
	return err
}
