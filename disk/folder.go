package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncFolder makes the names of files in a folder of the host durable: those that were made, removed or renamed there.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: a file system whose folders cannot be synced
		return err
	}
	return nil
}
