package drm

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kernelGroup is the group of the kernel's own messages (NETLINK_KOBJECT_UEVENT).
const kernelGroup = 1

// maxUevent is what the kernel's messages have room for.
const maxUevent = 8 << 10

// openUevents listens to what the kernel says of its devices.
func openUevents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to what the kernel says of its devices: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen to what the kernel says of its devices: %w", err)
	}
	return os.NewFile(uintptr(fd), "uevents"), nil
}

// hotplug says whether a message tells of a monitor that has come or gone: fields that end in zero bytes, KEY=VALUE all but the first.
func hotplug(p []byte) bool {
	drm, plug := false, false
	for f := range bytes.SplitSeq(p, []byte{0}) {
		drm = drm || bytes.Equal(f, []byte("SUBSYSTEM=drm"))
		plug = plug || bytes.Equal(f, []byte("HOTPLUG=1"))
	}
	return drm && plug
}

// flips counts the flips that events of a card tell of (struct drm_event).
func flips(p []byte) (n int) {
	for len(p) >= eventHead {
		kind, size := le32(p), int64(le32(p[4:]))
		if size < eventHead || size > int64(len(p)) {
			break
		}
		if kind == eventFlip {
			n++
		}
		p = p[size:]
	}
	return n
}

func le32(p []byte) uint32 {
	return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24
}
