package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lockFile   = "lock"
	socketFile = "control.sock"
	rootLock   = ".lock"
)

// Root is the folder that holds the folders of this user's machines. It is made where it is missing. It errs when somebody else could have
// put something there.
func Root() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	own := true // base is a folder of this user's alone
	if !filepath.IsAbs(base) {
		base = fmt.Sprintf("/run/user/%d", os.Geteuid())
		if _, err := os.Stat(base); err != nil {
			base, own = os.TempDir(), false
		}
		if !own && os.Geteuid() == 0 {
			base, own = "/run", true
		}
	}
	root := filepath.Join(base, "vmm")
	if !own {
		root = fmt.Sprintf("%s-%d", root, os.Geteuid())
	}
	return root, makeFolder(root)
}

// makeFolder makes a folder for this user alone, or checks that one is.
func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of this user's alone: remove it, or set XDG_RUNTIME_DIR", path)
	}
	return nil
}

// withRoot runs f while nobody else adds machines to root or removes them.
func withRoot(root string, f func() error) error {
	lock, err := os.OpenFile(filepath.Join(root, rootLock), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: lock.Name(), Err: err}
	}
	return f()
}

// sweep removes what machines that are gone have left, and returns the ids of those that run. The root is locked.
func sweep(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var running []string
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if dir := filepath.Join(root, e.Name()); isLocked(dir) {
			running = append(running, e.Name())
		} else {
			removeMachine(dir)
		}
	}
	return running, nil
}

// isLocked says whether a machine's process lives.
func isLocked(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// removeMachine removes the folder of a machine, and from it no more than a machine puts there.
func removeMachine(dir string) error {
	return errors.Join(remove(filepath.Join(dir, socketFile)), remove(filepath.Join(dir, lockFile)), remove(dir))
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// maxID keeps ids short enough to type, in bytes.
const maxID = 32

// idOf makes an id of a machine's name: what a shell needs no quotes for.
func idOf(name string) string {
	id := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	id = strings.Trim(id[:min(len(id), maxID)], "-")
	if id == "" {
		return "machine"
	}
	return id
}
