package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Access rights by the version of Landlock that brought them (landlock(7), "Landlock features").
const (
	accessABI1 = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // all up to this one
	accessABI2 = unix.LANDLOCK_ACCESS_FS_REFER
	accessABI3 = unix.LANDLOCK_ACCESS_FS_TRUNCATE
	accessABI5 = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	tcpABI     = 4
	scopeABI   = 6
)

// signalsWithin is the erratum, mended, by which threads of one process with domains of their own could not signal each other, which the Go
// runtime does all the time.
const signalsWithin = 1 << (2 - 1)

// landlockABI returns the version of Landlock here.
func landlockABI() (int, error) {
	abi, err := landlockCreate(nil, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errors.Is(err, unix.ENOSYS):
		return 0, &missingError{"this kernel has none (Linux 5.13 and later can)"}
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, &missingError{"switched off at this kernel's start (lsm=)"}
	}
	return abi, err
}

func landlockDetail(abi int) string {
	detail := "files"
	if abi >= tcpABI {
		detail += ", TCP ports"
	}
	if abi >= scopeABI {
		detail += ", Unix sockets, signals"
	}
	return fmt.Sprintf("version %d: %s", abi, detail)
}

// ruleset says what is forbidden where no rule allows it.
func ruleset(abi, errata int, network bool) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: accessABI1}
	if abi >= 2 {
		a.Handled_access_fs |= accessABI2
	}
	if abi >= 3 {
		a.Handled_access_fs |= accessABI3
	}
	if abi >= tcpABI {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		if !network {
			a.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		}
	}
	if abi >= 5 {
		a.Handled_access_fs |= accessABI5
	}
	if abi >= scopeABI {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		if errata&signalsWithin != 0 {
			a.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
		}
	}
	return a
}

// restrictPaths lets all threads open nothing but the files of c. What is open stays open, and usable.
func restrictPaths(c *Config) (string, error) {
	abi, err := landlockABI()
	if err != nil {
		return "", err
	}
	errata := 0
	if abi >= scopeABI {
		// Kernels of before the question was thought of answer with an error, and are unmended.
		errata, _ = landlockCreate(nil, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	}
	attr := ruleset(abi, max(errata, 0), c.Network)
	rules, err := landlockCreate(&attr, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(rules)
	for _, f := range c.Files {
		if err := f.permit(rules); err != nil {
			return "", err
		}
	}
	if err := onAllThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); err != nil {
		return "", err
	}
	return landlockDetail(abi), nil
}

// permitReading adds a rule for a file, or for all files in a folder. One that is not there cannot be named in a rule and will not be opened.
func permitReading(rules int, path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := landlockAllow(rules, fd, unix.LANDLOCK_ACCESS_FS_READ_FILE); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
