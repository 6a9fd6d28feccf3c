package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Progress hears in one line what is being done. It may be nil.
type Progress func(line string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// Store is a folder of unpacked packages. It may be used by any number of processes at once.
type Store struct {
	dir      string
	progress Progress
}

// DefaultDir is the folder that Open("") takes: debian in vmm's folder of the user's cache.
func DefaultDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for the package cache: %w", err)
	}
	return filepath.Join(cache, "vmm", "debian"), nil
}

// Open returns the store in dir, which is made when needed; "" stands for DefaultDir.
func Open(dir string, progress Progress) (*Store, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the package cache: %w", err)
	}
	// Nested hosts mount folders of it below a root of their own, where links would lead elsewhere.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("making the package cache: %w", err)
	}
	return &Store{dir: dir, progress: progress}, nil
}

// Package returns the folder into which the newest version that apt knows of a package is unpacked. A version that is already there is
// taken without asking apt, whether it is still the newest or not; Update changes that.
func (s *Store) Package(ctx context.Context, name string) (string, error) {
	if dir, ok := s.have(name); ok {
		return dir, nil
	}
	return s.locked(ctx, func() (string, error) {
		if dir, ok := s.have(name); ok {
			return dir, nil
		}
		return s.fetch(ctx, name)
	})
}

// Update fetches the newest version of a package even when there is an older one, and returns its folder.
func (s *Store) Update(ctx context.Context, name string) (string, error) {
	return s.locked(ctx, func() (string, error) { return s.fetch(ctx, name) })
}

// have looks up what current said when the package was last fetched.
func (s *Store) have(name string) (string, bool) {
	target, err := os.Readlink(s.current(name))
	if err != nil {
		return "", false
	}
	dir := filepath.Join(s.dir, filepath.Base(target))
	if _, err := os.Stat(dir); err != nil {
		return "", false
	}
	return dir, true
}

// current is a symbolic link to the version of a package that is in use.
func (s *Store) current(name string) string { return filepath.Join(s.dir, name+".current") }

// locked runs f while no other process changes the store, and first removes what interrupted ones left.
func (s *Store) locked(ctx context.Context, f func() (string, error)) (string, error) {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return "", fmt.Errorf("locking the package cache: %w", err)
	}
	defer lock.Close()
	if err := flock(ctx, lock, s.progress); err != nil {
		return "", fmt.Errorf("locking the package cache: %w", err)
	}
	leftovers, err := filepath.Glob(filepath.Join(s.dir, "tmp-*"))
	if err != nil {
		return "", err
	}
	for _, l := range leftovers {
		if err := os.RemoveAll(l); err != nil {
			return "", fmt.Errorf("clearing the package cache: %w", err)
		}
	}
	return f()
}

// flock waits for an exclusive lock, which the kernel gives back when the process ends in whatever way.
func flock(ctx context.Context, f *os.File, progress Progress) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	progress.say("waiting for another vmm that is fetching packages")
	// The waiter owns a duplicate, so that a cancelled wait neither leaks a descriptor nor holds the lock later.
	dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer unix.Close(dup)
		for {
			if err := unix.Flock(dup, unix.LOCK_EX); err != unix.EINTR {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch downloads and unpacks the newest version of a package. The store is locked.
func (s *Store) fetch(ctx context.Context, name string) (string, error) {
	tmp, err := os.MkdirTemp(s.dir, "tmp-")
	if err != nil {
		return "", fmt.Errorf("making a folder in the package cache: %w", err)
	}
	defer os.RemoveAll(tmp)
	deb, err := download(ctx, tmp, name, s.progress)
	if err != nil {
		return "", err
	}
	// apt names the file NAME_VERSION_ARCH.deb, with a version's epoch colon as %3a.
	version := strings.TrimSuffix(filepath.Base(deb), ".deb")
	if i := strings.LastIndexByte(version, '_'); i > 0 {
		version = version[:i]
	}
	dir := filepath.Join(s.dir, version)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		s.progress.say("unpacking %s", version)
		root := filepath.Join(tmp, "root")
		if err := unpack(ctx, deb, root); err != nil {
			return "", err
		}
		if err := os.Rename(root, dir); err != nil {
			return "", fmt.Errorf("storing package %s: %w", version, err)
		}
	} else if err != nil {
		return "", fmt.Errorf("looking for package %s: %w", version, err)
	}
	link := filepath.Join(tmp, "current")
	if err := os.Symlink(version, link); err != nil {
		return "", fmt.Errorf("storing package %s: %w", version, err)
	}
	if err := os.Rename(link, s.current(name)); err != nil {
		return "", fmt.Errorf("storing package %s: %w", version, err)
	}
	return dir, nil
}
