package nbd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
	"github.com/sharevm/vmm/disk/raw"
)

// remote is an image at the other end of a connection, so that the suite of disk images can judge the server too.
type remote struct {
	base   disk.Image
	server *Server
	dir    string
	served chan error

	mu     sync.RWMutex // held for reading by calls, for writing by Close
	closed bool
	links  []*client // used in turns
	turn   chan *client
}

// export serves base to a client with several connections.
func export(base disk.Image, o ...setup) (disk.Image, error) {
	s, err := NewServer(Export{Image: base, ReadOnly: base.Info().ReadOnly}, Options{})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nbd")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	r := &remote{base: base, server: s, dir: dir, served: make(chan error, 1), turn: make(chan *client, len(o))}
	go func() { r.served <- s.Serve(l) }()
	for _, o := range o {
		nc, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			return nil, err
		}
		c, err := connect(nc, o)
		if err != nil {
			return nil, err
		}
		r.links = append(r.links, c)
		r.turn <- c
	}
	return r, nil
}

func (r *remote) Size() int64     { return r.links[0].size }
func (r *remote) Info() disk.Info { return r.base.Info() }

// do sends a request on the next connection; a connection may have several on their way.
func (r *remote) do(kind, flags uint16, off, length int64, data []byte) (*call, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, disk.ErrClosed
	}
	c := <-r.turn
	r.turn <- c
	k, err := c.do(kind, flags, uint64(off), uint64(length), data)
	if c := code(0); errors.As(err, &c) {
		err = errors.Join(err, syscall.Errno(c), disk.CheckRange(r.Size(), off, length)) // the codes are Linux's
		if c == errPerm {
			err = errors.Join(err, disk.ErrReadOnly)
		}
	}
	return k, err
}

func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	k, err := r.do(cmdRead, 0, off, int64(len(p)), nil)
	if err != nil {
		return 0, err
	}
	return copy(p, k.data), nil
}

func (r *remote) WriteAt(p []byte, off int64) (int, error) {
	if _, err := r.do(cmdWrite, 0, off, int64(len(p)), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (r *remote) Flush() error {
	_, err := r.do(cmdFlush, 0, 0, 0, nil)
	return err
}

func (r *remote) WriteZeroes(off, length int64, unmap bool) error {
	flags := uint16(cmdFlagNoHole)
	if unmap {
		flags = 0
	}
	_, err := r.do(cmdWriteZeroes, flags, off, length, nil)
	return err
}

func (r *remote) Discard(off, length int64) error {
	_, err := r.do(cmdTrim, 0, off, length, nil)
	return err
}

// Extents asks one context for holes and the other for how deep the rest lies.
func (r *remote) Extents(off, length int64, yield func(disk.Extent) bool) error {
	if length == 0 {
		return disk.CheckRange(r.Size(), off, length)
	}
	for length > 0 {
		k, err := r.do(cmdBlockStatus, 0, off, min(length, 1<<31), nil)
		if err != nil {
			return err
		}
		kinds, depths := k.status["base:allocation"], k.status["qemu:allocation-depth"]
		for len(kinds) > 0 && len(depths) > 0 && length > 0 {
			n := min(kinds[0].length, depths[0].length)
			e := disk.Extent{Offset: off, Length: int64(n), Host: -1}
			switch {
			case depths[0].status == 0:
			case kinds[0].status == 0:
				e.Kind, e.Depth = disk.Data, int(depths[0].status-1)
			default:
				e.Kind, e.Depth = disk.Zero, int(depths[0].status-1)
			}
			if !yield(e) {
				return nil
			}
			off, length = off+int64(n), length-int64(n)
			for _, list := range []*[]descriptor{&kinds, &depths} {
				if (*list)[0].length -= n; (*list)[0].length == 0 {
					*list = (*list)[1:]
				}
			}
		}
	}
	return nil
}

func (r *remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return disk.ErrClosed
	}
	r.closed = true
	var errs []error
	for _, c := range r.links {
		errs = append(errs, c.close())
	}
	errs = append(errs, r.server.Shutdown(context.Background()))
	if err := <-r.served; !errors.Is(err, ErrServerClosed) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir), r.base.Close())...)
}

// through returns the subject with a server and a client in between.
func through[I disk.Image](s disktest.Subject, open func(string, disk.OpenOptions) (I, error), o ...setup) disktest.Subject {
	s.Open = func(path string, opts disk.OpenOptions) (disk.Image, error) {
		base, err := open(path, opts)
		if err != nil {
			return nil, err
		}
		return export(base, o...)
	}
	return s
}

// TestImage has the suite of disk images judge images at the other end of connections.
func TestImage(t *testing.T) {
	t.Run("raw", func(t *testing.T) {
		disktest.Run(t, through(disktest.Subject{File: "disk.raw", Create: raw.Create, AnySize: true, Large: 1 << 40}, raw.Open, setup{}, setup{}, setup{}))
	})
	t.Run("qcow2", func(t *testing.T) {
		disktest.Run(t, through(disktest.Subject{File: "disk.qcow2", Create: qcow2.Create, Check: qcow2.Check, Large: 1 << 40}, qcow2.Open, setup{}))
	})
}
