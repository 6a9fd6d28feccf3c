package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlockCreate makes a ruleset, or answers a question about Landlock when attr is nil.
func landlockCreate(attr *unix.LandlockRulesetAttr, flags uintptr) (int, error) {
	size := uintptr(0)
	if attr != nil {
		size = unsafe.Sizeof(*attr) // of which a kernel ignores what it does not know and is zero
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(attr)), size, flags)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// landlockAllow adds a rule for what fd refers to.
func landlockAllow(rules, fd int, access uint64) error {
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
