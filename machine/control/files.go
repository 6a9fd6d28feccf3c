package control

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxFiles is how many open files a client may send along with a request: a snapshot's, of a machine with as many disks as there can be.
const maxFiles = 128

// fileReader reads what a client sends and takes in the open files that come with it (unix(7), SCM_RIGHTS).
type fileReader struct {
	*net.UnixConn
	files []*os.File
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, flags, _, err := r.ReadMsgUnix(p, oob)
	if e := r.take(oob[:max(oobn, 0)]); err == nil {
		err = e
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = problemf(statusBadRequest, "more than %d files came along", maxFiles)
	}
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return max(n, 0), err // negative after an error
}

func (r *fileReader) take(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		for _, fd := range fds {
			r.files = append(r.files, os.NewFile(uintptr(fd), "a client's file"))
		}
	}
	if len(r.files) > maxFiles {
		return problemf(statusBadRequest, "more than %d files came along", maxFiles)
	}
	return nil
}

// keep leaves open what is not among rest: the machine has taken it over.
func (r *fileReader) keep(rest map[string]*os.File) {
	r.files = slices.Collect(maps.Values(rest))
}

// closeFiles closes what came along.
func (r *fileReader) closeFiles() {
	for _, f := range r.files {
		f.Close()
	}
}

// sendFiles is Write with open files that come along.
func sendFiles(conn net.Conn, p []byte, files []*os.File) error {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("files can be sent along by a Unix socket only")
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	n, _, err := u.WriteMsgUnix(p, unix.UnixRights(fds...), nil)
	if err == nil && n < len(p) {
		_, err = u.Write(p[n:])
	}
	return err
}
