package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitResources forbids core dumps, which would hold what the devices' buffers hold of the guest (its RAM is excluded anyway), and raising
// the number of open files. The number of threads stays free: the limit for it counts all processes of the user together.
func limitResources() (string, error) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return "", fmt.Errorf("core dumps: %w", err)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return "", fmt.Errorf("open files: %w", err)
	}
	files.Max = files.Cur
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return "", fmt.Errorf("open files: %w", err)
	}
	return fmt.Sprintf("no core dump, %d open files", files.Cur), nil
}
