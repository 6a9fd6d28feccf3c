package disk

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Locks follow qemu's scheme for image files (its block/file-posix.c), so that either program keeps the other out. Each permission has
// a number; an opener holds a read lock on byte 100+number for what it does, and on byte 200+number for what it does not
// allow others to do. It then looks whether anybody holds the opposite byte. Read locks do not exclude each other,
// hence the second step.
const (
	lockUses    = 100
	lockForbids = 200
)

// qemu's numbers of permissions.
const (
	permConsistentRead = 0
	permWrite          = 1
	permResize         = 3
)

var permNames = map[int]string{permConsistentRead: "read", permWrite: "write", permResize: "resize"}

// lock takes the locks of a reader or writer on an open file description; closing it lets them go. Readers and writers both
// forbid other writers. A file system without locks is used without.
func lock(raw syscall.RawConn, write bool) error {
	uses := []int{permConsistentRead}
	if write {
		uses = []int{permConsistentRead, permWrite, permResize}
	}
	forbids := []int{permWrite, permResize}

	var err error
	cerr := raw.Control(func(fd uintptr) { err = lockBytes(fd, uses, forbids) })
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOLCK) {
		return nil
	}
	return errors.Join(cerr, err)
}

// unlock gives all locks back. Closing does so, too, but only when the last descriptor of the open file description is closed, and a program that
// is being started right now has one until it is another program.
func unlock(raw syscall.RawConn) {
	l := unix.Flock_t{Type: unix.F_UNLCK, Whence: unix.SEEK_SET}
	// Whatever goes wrong here, closing is what is left to do.
	_ = raw.Control(func(fd uintptr) { _ = unix.FcntlFlock(fd, unix.F_OFD_SETLK, &l) })
}

func lockBytes(fd uintptr, uses, forbids []int) error {
	for _, p := range uses {
		if err := setLock(fd, lockUses+p); err != nil {
			return err
		}
	}
	for _, p := range forbids {
		if err := setLock(fd, lockForbids+p); err != nil {
			return err
		}
	}
	for _, p := range uses {
		if err := testLock(fd, lockForbids+p); err != nil {
			return fmt.Errorf("%w: another program has it open and does not allow others to %s it", err, permNames[p])
		}
	}
	for _, p := range forbids {
		if err := testLock(fd, lockUses+p); err != nil {
			return fmt.Errorf("%w: another program has it open to %s it", err, permNames[p])
		}
	}
	return nil
}

func setLock(fd uintptr, at int) error {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: unix.SEEK_SET, Start: int64(at), Len: 1}
	err := unix.FcntlFlock(fd, unix.F_OFD_SETLK, &l)
	if err == unix.EAGAIN || err == unix.EACCES {
		return fmt.Errorf("%w: another program has locked the whole file", ErrLocked)
	}
	return err
}

// testLock wraps ErrLocked if another open file description holds any lock on the byte.
func testLock(fd uintptr, at int) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Start: int64(at), Len: 1}
	if err := unix.FcntlFlock(fd, unix.F_OFD_GETLK, &l); err != nil {
		return err
	}
	if l.Type != unix.F_UNLCK {
		return ErrLocked
	}
	return nil
}
