package undo

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/sharevm/vmm/disk"
)

// grain is how much is saved at least, where there is so much: a table is changed sector by sector, and not each of them should wait for a sync.
const grain = 64 << 10

// Files opens files and saves what is changed in them. Its methods, and those of the files that it opens, may be called concurrently.
type Files struct {
	under disk.Files
	log   disk.File
	path  string

	mu      sync.Mutex
	session [16]byte
	number  uint64 // of the next record
	durable uint64 // records on the disk
	at      int64  // of the next record
	files   map[string]*file
	order   []*file
	buf     []byte
	saved   int64
	err     error // of the first failure to save; nothing is changed after it
}

// file is a file that was opened for writing.
type file struct {
	name    string // as it is opened by Files.under
	number  uint32
	created bool
	size    int64 // before any change
	saved   spans // what needs no saving any more, in [0, size)
}

// New makes the undo file path, which must not exist, and returns Files that save there what they change in the files of under; nil means the
// host's.
func New(path string, under disk.Files) (*Files, error) {
	if under == nil {
		under = disk.HostFiles{}
	}
	log, err := under.Open(path, disk.FileOptions{Write: true, Create: true})
	if err != nil {
		return nil, fmt.Errorf("undo file: %w", err)
	}
	f := &Files{under: under, log: log, path: path, files: map[string]*file{}}
	_, _ = rand.Read(f.session[:]) // never fails
	if err = f.append(record{kind: kindStart}, nil); err == nil {
		if err = f.sync(); err == nil && under == (disk.HostFiles{}) {
			err = disk.SyncFolder(filepath.Dir(path))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("undo file: %w", err), log.Close(), under.Remove(path))
	}
	return f, nil
}

// Saved is how many bytes of files were saved so far; 0 means that nothing was changed.
func (f *Files) Saved() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.saved
}

// Changed says whether any file was changed, made or cut, so that there is something to put back.
func (f *Files) Changed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.order) > 0
}

// append adds a record. Called with mu held, or before anybody else knows f.
func (f *Files) append(r record, body []byte) error {
	r.session, r.number, r.durable = f.session, f.number, f.durable
	f.buf = r.append(f.buf[:0], body)
	if _, err := f.log.WriteAt(f.buf, f.at); err != nil {
		return err
	}
	f.at += int64(len(f.buf))
	f.number++
	return nil
}

// sync makes all records durable. Called like append.
func (f *Files) sync() error {
	if f.durable == f.number {
		return nil
	}
	if err := f.log.Sync(); err != nil {
		return err
	}
	f.durable = f.number
	return nil
}

// Open implements [disk.Files].
func (f *Files) Open(path string, o disk.FileOptions) (disk.File, error) {
	under, err := f.under.Open(path, o)
	if err != nil || !o.Write {
		return under, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := under.Name()
	known := f.files[name]
	if known == nil {
		known = &file{name: name, created: o.Create}
		if known.size, err = under.Size(); err != nil {
			return nil, errors.Join(err, under.Close())
		}
		f.files[name] = known
	}
	if o.Create {
		if err := f.introduce(known); err != nil { // so that what is new goes away again
			return nil, errors.Join(err, under.Close(), f.under.Remove(path))
		}
	}
	return &handle{under, f, known}, nil
}

// Remove implements [disk.Files]. It takes away only what was made through f: nothing else could be put back as it was.
func (f *Files) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.files[path]; known == nil || !known.created {
		return &fs.PathError{Op: "remove", Path: path, Err: fmt.Errorf("%w: it could not be put back", errors.ErrUnsupported)}
	}
	return f.under.Remove(path)
}

// introduce records a file before its first change. Called with mu held.
func (f *Files) introduce(x *file) error {
	if f.err != nil {
		return f.err
	}
	for _, known := range f.order {
		if known == x {
			return nil
		}
	}
	name, err := relative(f.path, x.name)
	if err != nil {
		return err
	}
	if len(f.order) >= maxFiles || len(name) > maxName {
		return fmt.Errorf("%s: %w: too many files, or too long a name", f.path, disk.ErrFull)
	}
	x.number = uint32(len(f.order))
	k := kindFile
	if x.created {
		k, x.size = kindCreated, 0
	}
	if err := f.append(record{kind: k, file: x.number, length: x.size}, []byte(name)); err != nil {
		return f.fail(err)
	}
	if err := f.sync(); err != nil {
		return f.fail(err)
	}
	f.order = append(f.order, x)
	return nil
}

// relative returns how a file is named seen from the folder of the undo file.
func relative(undo, name string) (string, error) {
	if filepath.IsAbs(undo) != filepath.IsAbs(name) {
		var err error
		if undo, err = filepath.Abs(undo); err != nil {
			return "", err
		}
		if name, err = filepath.Abs(name); err != nil {
			return "", err
		}
	}
	return filepath.Rel(filepath.Dir(undo), name)
}

// fail notes that saving is over.
func (f *Files) fail(err error) error {
	f.err = fmt.Errorf("save what is about to be changed: %w", err)
	return f.err
}

// save makes what [from, to) of a file holds durable in the undo file, unless it is.
func (f *Files) save(under disk.File, x *file, from, to int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.introduce(x); err != nil {
		return err
	}
	from, to = from/grain*grain, (min(to, x.size)+grain-1)/grain*grain // of what was there
	for _, s := range x.saved.missing(from, min(to, x.size)) {
		if err := f.copy(under, x, s); err != nil {
			return f.fail(err)
		}
	}
	if err := f.sync(); err != nil {
		return f.fail(err)
	}
	x.saved.add(from, min(to, x.size))
	return nil
}

// copy appends what a range of a file holds. Called with mu held.
func (f *Files) copy(under disk.File, x *file, s span) error {
	p := make([]byte, min(maxBody, s.to-s.from))
	for s.from < s.to {
		start, end, err := under.NextData(s.from)
		if err != nil {
			return err
		}
		r := record{kind: kindZero, file: x.number, off: s.from, length: min(start, s.to) - s.from}
		if r.length <= 0 {
			r.kind, r.length = kindData, min(end, s.to, s.from+int64(len(p)))-s.from
		}
		if r.length <= 0 {
			return disk.Corrupt(x.name, s.from, "the file ends before byte %d, where it should go on", s.to)
		}
		var body []byte
		if r.kind == kindData {
			body = p[:r.length]
			if err := disk.ReadFull(under, body, r.off, "content"); err != nil {
				return err
			}
			if len(bytes.TrimLeft(body, "\x00")) == 0 {
				r.kind, body = kindZero, nil
			}
		}
		if err := f.append(r, body); err != nil {
			return err
		}
		f.saved += r.length
		s.from += r.length
	}
	return nil
}

// Close ends the work on the files, which have to be closed, and notes what they hold now, so that [Apply] can tell whether anybody changed them since.
// If nothing was changed, the undo file is removed.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.order) == 0 {
		return errors.Join(f.err, f.log.Close(), f.under.Remove(f.path))
	}
	err := f.err
	if err == nil {
		err = f.seal()
	}
	return errors.Join(err, f.log.Close())
}

// seal notes what the files hold now. Called with mu held.
func (f *Files) seal() error {
	for _, x := range f.order {
		if err := f.sealFile(x); err != nil {
			return fmt.Errorf("undo file: note the outcome of %s: %w", x.name, err)
		}
	}
	if err := f.append(record{kind: kindSealed}, nil); err != nil {
		return err
	}
	return f.sync()
}

func (f *Files) sealFile(x *file) error {
	under, err := f.under.Open(x.name, disk.FileOptions{})
	if errors.Is(err, fs.ErrNotExist) && x.created {
		return nil // made and removed again
	}
	if err != nil {
		return err
	}
	defer under.Close()
	size, err := under.Size()
	if err != nil {
		return err
	}
	for _, s := range x.saved {
		for at := s.from; at < min(s.to, size); at += maxBody {
			n := min(s.to, size, at+maxBody) - at
			sum, err := sumOf(under, at, n)
			if err != nil {
				return err
			}
			if err := f.append(record{kind: kindAfter, file: x.number, off: at, length: n}, binary.LittleEndian.AppendUint32(nil, sum)); err != nil {
				return err
			}
		}
	}
	return f.append(record{kind: kindEnd, file: x.number, length: size}, nil)
}

// sumOf is the checksum of at most maxBody bytes of a file.
func sumOf(f disk.File, off, n int64) (uint32, error) {
	p := make([]byte, n)
	if err := disk.ReadFull(f, p, off, "content"); err != nil {
		return 0, err
	}
	return checksum(p), nil
}

// handle is a file that is open for writing.
type handle struct {
	disk.File
	files *Files
	x     *file
}

// ModTime is for [disk.ModTime].
func (h *handle) ModTime() (time.Time, error) {
	t, ok := disk.ModTime(h.File)
	if !ok {
		return t, errors.ErrUnsupported
	}
	return t, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.files.save(h.File, h.x, off, off+int64(len(p))); err != nil {
		return 0, err
	}
	return h.File.WriteAt(p, off)
}

func (h *handle) WritevAt(bufs [][]byte, off int64) (int, error) {
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	if err := h.files.save(h.File, h.x, off, off+n); err != nil {
		return 0, err
	}
	return h.File.WritevAt(bufs, off)
}

func (h *handle) Truncate(size int64) error {
	if err := h.files.save(h.File, h.x, size, h.x.size); err != nil {
		return err
	}
	return h.File.Truncate(size)
}

func (h *handle) Zero(off, length int64, unmap bool) error {
	if err := h.files.save(h.File, h.x, off, off+length); err != nil {
		return err
	}
	return h.File.Zero(off, length, unmap)
}

func (h *handle) Discard(off, length int64) error {
	if err := h.files.save(h.File, h.x, off, off+length); err != nil {
		return err
	}
	return h.File.Discard(off, length)
}
