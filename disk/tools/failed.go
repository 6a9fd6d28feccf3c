package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sharevm/vmm/disk"
)

// failed says which image was read or written when err happened, unless err names a file itself: an image's extent, or one of its parents, is nearer to
// the trouble.
func failed(doing, path string, err error) error {
	var file *fs.PathError
	var format *disk.FormatError
	if errors.As(err, &file) || errors.As(err, &format) {
		return err
	}
	return fmt.Errorf("%s %s: %w", doing, path, err)
}

// placed is an error about an image in a hidden folder beside its place, told without that folder.
type placed struct {
	err    error
	folder string // its name, with a slash behind it
}

func (p *placed) Error() string { return strings.ReplaceAll(p.err.Error(), p.folder, "") }

func (p *placed) Unwrap() error { return p.err }
