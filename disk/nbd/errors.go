package nbd

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/sharevm/vmm/disk"
)

// code is an error as the protocol numbers it (section "Error values"). It is its own message to the client, who is told no paths of this host.
type code uint32

const (
	errPerm     code = 1
	errIO       code = 5
	errInvalid  code = 22
	errNoSpace  code = 28
	errOverflow code = 75
	errNotSup   code = 95
)

func (e code) Error() string {
	switch e {
	case errPerm:
		return "the export is read-only"
	case errIO:
		return "the image could not be read or written"
	case errInvalid:
		return "the request makes no sense, or leaves the export"
	case errNoSpace:
		return "no space left"
	case errOverflow:
		return "the request is too large"
	case errNotSup:
		return "no faster than writing zeroes"
	}
	return fmt.Sprintf("error %d", uint32(e))
}

// codeOf returns the code of what an image returned, 0 for nil.
func codeOf(err error) code {
	var c code
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return c
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG), errors.Is(err, disk.ErrFull):
		return errNoSpace
	case errors.Is(err, disk.ErrReadOnly):
		return errPerm
	}
	return errIO
}
