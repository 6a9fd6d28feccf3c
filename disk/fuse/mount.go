package fuse

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// maxTransfer is the longest read or write that the kernel may ask for, in bytes; it takes no more.
const maxTransfer = 1 << 20

// Options say how to mount an image.
type Options struct {
	// ReadOnly refuses writes.
	ReadOnly bool
	// Name is the file's name in the folder; empty means the image's with ".raw" behind it.
	Name string
	// Logger is told of the image's errors; nil discards that.
	Logger *slog.Logger
}

// Mount is an image that is mounted.
type Mount struct {
	at     string // absolute
	file   string
	server *gofuse.Server
	done   chan struct{}
}

// ErrUnavailable is wrapped by errors of New on hosts where nothing can be mounted.
var ErrUnavailable = errors.New("this host cannot mount by FUSE")

// New mounts an image at an empty folder or an ordinary file, which it hides meanwhile. The image stays the caller's: it must not be
// closed before Wait has returned.
func New(i disk.Image, at string, o Options) (*Mount, error) {
	if err := available(); err != nil {
		return nil, err
	}
	at, err := filepath.Abs(at)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if err := vacant(i, at, st); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mount{at: at, file: at, done: make(chan struct{})}
	f := newFileSystem(i, o)
	if st.IsDir() {
		if f.name = o.Name; f.name == "" {
			f.name = filepath.Base(i.Info().Path) + ".raw"
		}
		m.file = filepath.Join(at, f.name)
	}
	if m.server, err = gofuse.NewServer(f, at, mountOptions(i, o)); err != nil {
		return nil, fmt.Errorf("mount %s at %s: %w", i.Info().Path, at, err)
	}
	go func() {
		m.server.Serve()
		close(m.done)
	}()
	return m, nil
}

// vacant refuses to mount over what is needed meanwhile: a folder with something in it, such as /proc or a home, or a file of the image itself.
func vacant(i disk.Image, at string, st fs.FileInfo) error {
	switch {
	case st.Mode().IsRegular():
		for _, f := range i.Info().Files {
			if own, err := os.Stat(f); err == nil && os.SameFile(own, st) {
				return fmt.Errorf("%s: it is part of the image; name another file, or an empty folder", at)
			}
		}
		return nil
	case !st.IsDir():
		return fmt.Errorf("%s: neither a folder nor an ordinary file to mount at", at)
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	switch names, err := f.Readdirnames(1); {
	case len(names) > 0:
		return fmt.Errorf("%s: the folder is not empty, and what is in it could not be reached under the mount; name an empty one", at)
	case err != nil && err != io.EOF:
		return err
	}
	return nil
}

// available says in one line what is missing, since what mount and fusermount3 say of it is hard to understand.
func available() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no /dev/fuse (modprobe fuse; a container needs --device /dev/fuse)", ErrUnavailable)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	f.Close()
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("fusermount3"); err != nil {
			return fmt.Errorf("%w: fusermount3 is missing (apt-get install fuse3)", ErrUnavailable)
		}
	}
	return nil
}

func mountOptions(i disk.Image, o Options) *gofuse.MountOptions {
	m := &gofuse.MountOptions{
		FsName: i.Info().Path, Name: "vmm", Options: []string{"default_permissions"},
		MaxWrite: maxTransfer, MaxReadAhead: maxTransfer, MaxBackground: 64, DisableXAttrs: true, DisableReadDirPlus: true, DisableSplice: true,
		DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC,
		Logger:           slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		PanicHandler: func(what any) gofuse.Status {
			o.Logger.Error("panic in a file system request", "panic", what)
			return gofuse.EIO
		},
	}
	if os.Geteuid() == 0 {
		m.DirectMountStrict = true
	} else {
		m.Options = append(m.Options, "noexec")
	}
	if o.ReadOnly {
		m.DirectMountFlags |= unix.MS_RDONLY
		if os.Geteuid() != 0 {
			m.Options = append(m.Options, "ro")
		}
	}
	return m
}

// File is the path of the raw file.
func (m *Mount) File() string { return m.file }

// Done is closed when the file system has been unmounted, by whomever, and nothing uses the image any more.
func (m *Mount) Done() <-chan struct{} { return m.done }

// Unmount unmounts it, and returns when nothing uses the image any more. It fails while files there are open.
func (m *Mount) Unmount() error {
	select {
	case <-m.done:
		return nil // somebody else has done it
	default:
	}
	if err := m.server.Unmount(); err != nil {
		select {
		case <-m.done: // in the meantime
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", m.at, err)
		}
	}
	<-m.done
	return nil
}

// Detach takes it out of the folder tree at once. Programs that have the file open keep it; Done is closed when the last is through.
func (m *Mount) Detach() error {
	if os.Geteuid() == 0 {
		if err := unix.Unmount(m.at, unix.MNT_DETACH); err != nil {
			return &fs.PathError{Op: "unmount", Path: m.at, Err: err}
		}
		return nil
	}
	if out, err := exec.Command("fusermount3", "-u", "-z", m.at).CombinedOutput(); err != nil {
		return fmt.Errorf("unmount %s: %w: %s", m.at, err, out)
	}
	return nil
}
