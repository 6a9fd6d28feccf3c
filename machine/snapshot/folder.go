package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disksFile says how the disks lay there that the machine writes to for good: JSON, a list of File.
const disksFile = "disks"

// File is what tells that a file of a disk is the one that a machine was saved with.
type File struct {
	Path     string
	Size     int64
	Modified time.Time
	// Disk is the address of the disk that this file is the image of, where the disk was frozen for the snapshot.
	Disk string `json:",omitempty"`
}

// Draft is a snapshot in the making.
type Draft struct {
	dir, temp string
	lock      *os.File            // temp, locked: whoever made it is at work
	Files     map[string]*os.File // by their names, empty and open for writing
}

// Create begins a snapshot that shall lie in dir, which may hold an older one. What drafts of it are left over from a crash goes.
func Create(dir string, names []string) (_ *Draft, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	d := &Draft{dir: dir, Files: map[string]*os.File{}}
	prefix := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".new-")
	drafts, _ := filepath.Glob(escape(prefix) + "*") // no error: the pattern is well-formed
	for _, draft := range drafts {
		Sweep(draft)
	}
	if d.temp, err = os.MkdirTemp(filepath.Dir(prefix), filepath.Base(prefix)); err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	if d.lock, err = lockFolder(d.temp); err != nil {
		d.Discard()
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	for _, name := range names {
		if name != filepath.Base(name) || name == disksFile {
			d.Discard()
			return nil, fmt.Errorf("make a snapshot: a file called %q", name)
		}
		f, err := os.OpenFile(filepath.Join(d.temp, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			d.Discard()
			return nil, fmt.Errorf("make a snapshot: %w", err)
		}
		d.Files[name] = f
	}
	return d, nil
}

// Discard gives the draft up.
func (d *Draft) Discard() {
	d.close()
	os.RemoveAll(d.temp)
}

func (d *Draft) close() {
	for _, f := range d.Files {
		f.Close()
	}
	if d.lock != nil {
		d.lock.Close()
	}
}

// Sweep removes a draft, given by its folder, unless somebody on this host is at work at it.
func Sweep(draft string) {
	if lock, err := lockFolder(draft); err == nil {
		os.RemoveAll(draft)
		lock.Close()
	}
}

// escape is a path as a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// lockFolder opens a folder and locks it, unless somebody else holds it.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Verify checks the draft, whose files are written, as Verify does a snapshot.
func (d *Draft) Verify() error {
	_, err := Verify(d.temp)
	return err
}

// Commit puts the draft, whose files are durable, into its place. disks are the files of the disks that must not change until the machine goes on. What was there
// before is replaced in one step and then removed.
func (d *Draft) Commit(disks []string) error { return d.CommitFrozen(disks, nil) }

// CommitFrozen is Commit where disks were frozen for the snapshot: frozen are their images, with the disks' addresses. The files of these are among disks.
func (d *Draft) CommitFrozen(disks []string, frozen map[string]string) error {
	defer d.Discard() // by then temp is the older one, if anything
	if err := writeDisks(d.temp, disks, frozen); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, d.temp, unix.AT_FDCWD, d.dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // nothing is there, or the file system cannot exchange
		if e := os.RemoveAll(d.dir); e != nil {
			return fmt.Errorf("make a snapshot: %w", e)
		}
		err = os.Rename(d.temp, d.dir)
	}
	if err != nil {
		return fmt.Errorf("put the snapshot %s into its place: %w", d.dir, err)
	}
	return syncFolder(filepath.Dir(d.dir))
}

// writeDisks notes how files of disks lie there, durably.
func writeDisks(dir string, disks []string, frozen map[string]string) error {
	list := []File{}
	for _, path := range disks {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		list = append(list, File{path, info.Size(), info.ModTime(), frozen[path]})
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+disksFile+".")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, disksFile)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ErrStale is wrapped where a disk has changed since the machine was saved: going on would destroy what is on it.
var ErrStale = errors.New("the disk has changed since the machine was saved")

// CheckDisks sees that the disks of the snapshot in dir are as they were.
func CheckDisks(dir string) error {
	list, err := Disks(dir)
	if err != nil {
		return err
	}
	for _, saved := range list {
		info, err := os.Stat(saved.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w: it is gone", saved.Path, ErrStale)
		}
		if err != nil {
			return err
		}
		if info.Size() != saved.Size || !info.ModTime().Equal(saved.Modified) {
			return fmt.Errorf("%s: %w", saved.Path, ErrStale)
		}
	}
	return nil
}

// Disks are the files of disks that the snapshot in dir depends on.
func Disks(dir string) (list []File, err error) {
	path := filepath.Join(dir, disksFile)
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMeta))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	return list, nil
}

// Frozen are the images that the disks of the snapshot in dir were frozen as, by their addresses; none where the machine threw away what it wrote.
func Frozen(dir string) (map[string]string, error) {
	list, err := Disks(dir)
	frozen := map[string]string{}
	for _, f := range list {
		if f.Disk != "" {
			frozen[f.Disk] = f.Path
		}
	}
	return frozen, err
}

// Rewrite notes anew how the files of the disks lie there that the snapshot in dir depends on, for who has changed them and knows that they read the same.
func Rewrite(dir string, disks []string) error {
	if err := writeDisks(dir, disks, nil); err != nil {
		return fmt.Errorf("the disks of a snapshot: %w", err)
	}
	return nil
}

// Share makes the snapshot in from another one in dir, which may hold an older one, with its own word on disks. It takes no room: the files are the same.
func Share(from, dir string, disks []string) error {
	names, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("share a snapshot: %w", err)
	}
	d, err := Create(dir, nil)
	if err != nil {
		return err
	}
	for _, e := range names {
		if e.Name() == disksFile || e.Name() == WorkingFile || !e.Type().IsRegular() {
			continue
		}
		if err := os.Link(filepath.Join(from, e.Name()), filepath.Join(d.temp, e.Name())); err != nil {
			d.Discard()
			return fmt.Errorf("share a snapshot: %w", err)
		}
	}
	return d.Commit(disks)
}
