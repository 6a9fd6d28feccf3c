package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFile bounds a file, in bytes; there are two for each machine.
	maxFile = 1 << 20
	// maxJournals is how many machines' journals are kept; the ones that have been silent longest go first.
	maxJournals = 100
)

const (
	suffix = ".log"
	older  = ".1" // behind the suffix
)

// Folder is where this user's journals are. It need not be there.
func Folder() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "vmm"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where journals are kept: %w (or set XDG_STATE_HOME)", err)
	}
	return filepath.Join(home, ".local", "state", "vmm"), nil
}

// path is the file of the machine of that id.
func path(folder, id string) (string, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("%q is not the id of a machine", id)
	}
	return filepath.Join(folder, id+suffix), nil
}

// files are a machine's two files, as its process writes them.
type files struct {
	limit int64

	mu       sync.Mutex
	now, old *os.File
	size     int64 // of now
}

func openFiles(folder, id string, limit int64) (_ *files, err error) {
	name, err := path(folder, id)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f := &files{limit: limit}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NONBLOCK // a pipe would wait for its reader
	if f.now, err = os.OpenFile(name, flags, 0o600); err != nil {
		return nil, err
	}
	if err := lock(f.now); err != nil {
		return nil, err
	}
	info, err := f.now.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	f.size = info.Size()
	if f.old, err = os.OpenFile(name+older, flags, 0o600); err != nil {
		return nil, err
	}
	prune(folder, maxJournals)
	return f, nil
}

// lock locks a file for as long as it is open. Somebody who asks just then whether it is locked is waited for.
func lock(f *os.File) error {
	const patience, pause = 100 * time.Millisecond, 5 * time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// Write writes whole lines.
func (f *files) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > 0 && f.size+int64(len(p)) > f.limit {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.now.WriteAt(p, f.size)
	f.size += int64(n)
	return n, err
}

// rotate makes the file the older one. Whoever reads meanwhile, or after a crash, finds lines twice at worst.
func (f *files) rotate() error {
	if err := f.old.Truncate(0); err != nil {
		return err
	}
	// By hand: os.File would have the kernel copy, by a call that a sandboxed process may not make.
	buf := make([]byte, 64<<10)
	if _, err := io.CopyBuffer(io.NewOffsetWriter(f.old, 0), struct{ io.Reader }{io.NewSectionReader(f.now, 0, f.size)}, buf); err != nil {
		return err
	}
	f.size = 0
	return f.now.Truncate(0)
}

// tail is the end of both files.
func (f *files) tail(most int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := f.old.Stat()
	if err != nil {
		return nil, err
	}
	now := min(f.size, int64(most))
	old := min(info.Size(), int64(most)-now)
	b := make([]byte, old+now)
	if _, err := f.old.ReadAt(b[:old], info.Size()-old); err != nil {
		return nil, err
	}
	if _, err := f.now.ReadAt(b[old:], f.size-now); err != nil {
		return nil, err
	}
	if now < f.size || old < info.Size() { // it begins in the midst of a line
		_, b, _ = bytes.Cut(b, []byte{'\n'})
	}
	return b, nil
}

func (f *files) Close() error {
	var errs []error
	for _, file := range []*os.File{f.now, f.old} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// Kept is a journal that there is.
type Kept struct {
	ID      string `json:"id"`
	File    string `json:"file"`
	Size    int64  `json:"size"` // bytes, of both files
	Last    int64  `json:"last"` // when something was written last, seconds of Unix time
	Running bool   `json:"running"`
}

// List returns the journals in a folder, the one that was written last first.
func List(folder string) ([]Kept, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), suffix)
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		k := Kept{ID: id, File: filepath.Join(folder, e.Name()), Size: info.Size(), Last: info.ModTime().Unix()}
		if old, err := os.Stat(k.File + older); err == nil {
			k.Size += old.Size()
		}
		k.Running = isWritten(k.File)
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(a, b Kept) int { return cmp.Compare(b.Last, a.Last) })
	return all, nil
}

// isWritten says whether the process of a machine has the file open.
func isWritten(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// prune removes all but the latest journals. What cannot be removed stays.
func prune(folder string, most int) {
	all, err := List(folder)
	if err != nil || len(all) <= most {
		return
	}
	for _, k := range all[most:] {
		if !k.Running {
			_ = os.Remove(k.File)
			_ = os.Remove(k.File + older)
		}
	}
}
