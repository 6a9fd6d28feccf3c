package undo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/sharevm/vmm/disk"
)

// Errors that callers of [Apply] tell apart with errors.Is.
var (
	// ErrChanged: somebody changed the files after the tool that the undo file belongs to, so that putting back a part would ruin them.
	ErrChanged = errors.New("the image has changed since")
	// ErrReverted: the undo file has served already.
	ErrReverted = errors.New("everything was put back already")
)

// Options says how to put back.
type Options struct {
	Files disk.Files // nil: the host's
	// AllowOutside permits files outside the undo file's own folder.
	AllowOutside bool
	// Force puts back what files held although they have changed since.
	Force bool
	// DryRun finds out whether it can be done, and changes nothing.
	DryRun bool
}

// Result is what Apply did, or would do.
type Result struct {
	Files []string // that were changed
	Bytes int64    // that were put back
	// Complete says that the tool had come to its end, so that it could be checked that nobody changed the files since.
	Complete bool
}

// Apply puts back what the undo file path saved. It can be interrupted at any moment, and repeated.
func Apply(path string, o Options) (*Result, error) {
	if o.Files == nil {
		o.Files = disk.HostFiles{}
	}
	log, err := o.Files.Open(path, disk.FileOptions{Write: true})
	if err != nil {
		return nil, err
	}
	a := &applier{o: o, log: log, folder: filepath.Dir(path)}
	defer a.close()
	if err := a.survey(); err != nil {
		return nil, err
	}
	if a.reverted {
		return nil, fmt.Errorf("%s: %w", path, ErrReverted)
	}
	r := &Result{Complete: a.sealed}
	for _, x := range a.files {
		r.Files = append(r.Files, x.name)
	}
	if err := a.open(); err != nil {
		return nil, err
	}
	if a.sealed && !a.reverting && !o.Force {
		if err := a.compare(); err != nil {
			return nil, err
		}
	}
	if !o.DryRun {
		if err := log.Truncate(a.end); err != nil { // what an interrupted writer left must not seem to go on behind the mark
			return nil, err
		}
		if err := a.mark(kindReverting); err != nil {
			return nil, err
		}
	}
	if r.Bytes, err = a.putBack(); err != nil || o.DryRun {
		return r, err
	}
	return r, a.mark(kindReverted)
}

// applier reads an undo file.
type applier struct {
	o      Options
	log    disk.File
	folder string
	files  []*target

	end       int64  // of the records
	number    uint64 // of records
	session   [16]byte
	sealed    bool
	reverting bool
	reverted  bool
}

// target is a file that is put back.
type target struct {
	name    string
	created bool
	size    int64 // before any change
	after   int64 // when the tool was done, or -1 if the undo file does not say
	f       disk.File
}

func (a *applier) close() {
	for _, x := range a.files {
		if x.f != nil {
			x.f.Close()
		}
	}
	a.log.Close()
}

// walk calls yield for each record.
func (a *applier) walk(yield func(r record, at int64, body []byte) error) error {
	size, err := a.log.Size()
	if err != nil {
		return err
	}
	rd := &reader{file: a.log, size: size}
	for {
		at := rd.at
		r, body, err := rd.next()
		if err == io.EOF {
			a.end, a.number, a.session = rd.at, rd.number, rd.session
			return nil
		}
		if err != nil {
			return err
		}
		if err := yield(r, at, body); err != nil {
			return err
		}
	}
}

// survey reads all records once and judges them, before anything is changed.
func (a *applier) survey() error {
	return a.walk(func(r record, at int64, body []byte) error {
		about := r.kind == kindData || r.kind == kindZero || r.kind == kindAfter || r.kind == kindEnd
		var x *target
		if about {
			if int64(r.file) >= int64(len(a.files)) {
				return r.want(a.log, at, false)
			}
			x = a.files[r.file]
		}
		inside := func(size int64) bool { return r.off >= 0 && r.length > 0 && r.off <= size && r.length <= size-r.off }
		ok := true
		switch r.kind {
		case kindStart:
			ok = r.number == 0
		case kindFile, kindCreated:
			ok = int64(r.file) == int64(len(a.files)) && r.file < maxFiles && len(body) > 0 && len(body) <= maxName && r.length >= 0
			a.files = append(a.files, &target{name: string(body), created: r.kind == kindCreated, size: r.length, after: -1})
		case kindData:
			ok = inside(x.size) && r.length == int64(len(body))
		case kindZero:
			ok = inside(x.size)
		case kindAfter:
			ok = inside(x.size) && r.length <= maxBody && len(body) == 4
		case kindEnd:
			ok = r.length >= 0
			x.after = r.length
		case kindSealed:
			a.sealed = true
		case kindReverting:
			a.reverting = true
		case kindReverted:
			a.reverted = true
		}
		return r.want(a.log, at, ok && (r.number > 0 || r.kind == kindStart))
	})
}

// open opens all files, so that nobody else has one of them.
func (a *applier) open() error {
	for _, x := range a.files {
		if filepath.Join(a.folder, x.name) == filepath.Clean(a.log.Name()) {
			return disk.Corrupt(a.log.Name(), -1, "it names itself as a file to put back")
		}
		f, err := a.o.Files.Open(x.name, disk.FileOptions{Write: true, Folder: a.folder, AllowOutside: a.o.AllowOutside})
		if errors.Is(err, fs.ErrNotExist) && x.created {
			continue // it is gone already
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.log.Name(), err)
		}
		x.f = f
	}
	return nil
}

// compare expects each file as the tool left it.
func (a *applier) compare() error {
	for _, x := range a.files {
		if x.f == nil {
			continue
		}
		if size, err := x.f.Size(); err != nil {
			return err
		} else if x.after >= 0 && size != x.after {
			return fmt.Errorf("%s: %w: it has %d bytes and had %d", x.f.Name(), ErrChanged, size, x.after)
		}
	}
	return a.walk(func(r record, _ int64, body []byte) error {
		if r.kind != kindAfter || a.files[r.file].f == nil {
			return nil
		}
		f := a.files[r.file].f
		sum, err := sumOf(f, r.off, r.length)
		if err != nil {
			return err
		}
		if sum != binary.LittleEndian.Uint32(body) {
			return fmt.Errorf("%s: %w: in the %d bytes at %d", f.Name(), ErrChanged, r.length, r.off)
		}
		return nil
	})
}

// putBack makes all files what they were, durably.
func (a *applier) putBack() (bytes int64, err error) {
	for _, x := range a.files {
		if x.f == nil || a.o.DryRun {
			continue
		}
		if err := x.f.Truncate(x.size); err != nil {
			return 0, err
		}
	}
	err = a.walk(func(r record, _ int64, body []byte) error {
		if r.kind != kindData && r.kind != kindZero || a.files[r.file].f == nil {
			return nil
		}
		bytes += r.length
		if a.o.DryRun {
			return nil
		}
		f := a.files[r.file].f
		if r.kind == kindZero {
			return f.Zero(r.off, r.length, true)
		}
		_, err := f.WriteAt(body, r.off)
		return err
	})
	if err != nil || a.o.DryRun {
		return bytes, err
	}
	for _, x := range a.files {
		if x.f == nil {
			continue
		}
		if err := x.f.Sync(); err != nil {
			return bytes, err
		}
		if x.created {
			if err := a.o.Files.Remove(x.f.Name()); err != nil {
				return bytes, err
			}
		}
	}
	return bytes, nil
}

// mark adds a record about the undo file itself behind the others.
func (a *applier) mark(k kind) error {
	if _, err := a.log.WriteAt(record{kind: k, session: a.session, number: a.number, durable: a.number}.append(nil, nil), a.end); err != nil {
		return err
	}
	a.number, a.end = a.number+1, a.end+align
	return a.log.Sync()
}
