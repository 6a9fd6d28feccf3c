// Package filecopy copies files.
package filecopy

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Copy makes the file to of what from holds, in place of what was there. A file system that can has both share their blocks (copy_file_range(2)).
func Copy(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		err = fmt.Errorf("copy %s: %w", from, err)
	}
	return errors.Join(err, out.Close())
}
