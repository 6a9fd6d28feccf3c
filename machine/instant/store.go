package instant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/snapshot"
)

const (
	// Limit is how many bytes all snapshots together may take on the disk. A single one may take more.
	Limit = 8 << 30
	// spare is what has to stay free on the disk, in bytes.
	spare = 256 << 20
	// MaxAge is how old a snapshot may be that is not made anew when there is an occasion.
	MaxAge = 7 * 24 * time.Hour

	// draftAge is how old a draft of another host is of which nobody can be at work any more: far older than the time that making a snapshot may take.
	draftAge = time.Hour

	maxIdentity = 1 << 20 // bytes
	lockSuffix  = ".lock"
)

// Store is the folder of all snapshots.
type Store struct{ root string }

// Open opens the user's store, and makes it where it is missing.
func Open() (*Store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("where to keep snapshots: %w", err)
	}
	return OpenAt(filepath.Join(cache, "vmm", "instant"))
}

// Root is the folder.
func (s *Store) Root() string { return s.root }

// OpenAt opens the store in a folder. It holds guests' memory, and is for its user's eyes alone.
func OpenAt(root string) (*Store, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("where to keep snapshots: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return nil, fmt.Errorf("where to keep snapshots: %s: %w", root, err)
	}
	if int(st.Uid) != os.Geteuid() && !nested() {
		return nil, fmt.Errorf("where to keep snapshots: %s belongs to another user", root)
	}
	return &Store{root}, os.Chmod(root, 0o700)
}

// nested says whether this is the nested host, where every user is root: there the folder is one of the user outside, who was looked at there.
func nested() bool { return os.Getenv("VMM_NESTED") != "" }

// Lasts says whether the store is still there when this host has ended: in the nested host it is where it was shared with the host outside.
func (s *Store) Lasts() bool {
	var root, store unix.Stat_t
	return !nested() || unix.Stat("/", &root) == nil && unix.Stat(s.root, &store) == nil && root.Dev != store.Dev
}

// Place is where the snapshot of a machine lies, or shall lie.
type Place struct {
	Dir   string // of the newest snapshot when the place was looked up; "" where there was none
	key   string // Dir without its last part
	store *Store
	now   *identity
}

// Place returns the place of the machine that a .vmx and a command line describe.
func (s *Store) Place(vmx string, m *config.Machine) (*Place, error) {
	vmx, err := filepath.Abs(vmx)
	if err != nil {
		return nil, err
	}
	name, err := folderName(vmx, m)
	if err != nil {
		return nil, fmt.Errorf("name a snapshot: %w", err)
	}
	now, err := identify(vmx, m)
	if err != nil {
		return nil, fmt.Errorf("what a snapshot is of: %w", err)
	}
	p := &Place{key: filepath.Join(s.root, name), store: s, now: now}
	if all := p.all(); len(all) > 0 {
		p.Dir = all[len(all)-1]
	}
	return p, nil
}

// all are the folders of the place's snapshots, the newest last. There is more than one only where nobody has come to remove the others.
func (p *Place) all() (dirs []string) {
	folders, _ := os.ReadDir(p.store.root) // ascending
	for _, f := range folders {
		if key, _ := split(f.Name()); f.IsDir() && key == filepath.Base(p.key) {
			dirs = append(dirs, filepath.Join(p.store.root, f.Name()))
		}
	}
	return dirs
}

// split takes the name of a snapshot's folder apart: whose it is, and when it was begun.
func split(name string) (key, begun string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// dated is the name of a folder for a snapshot that is begun now. No name is used twice: nested hosts that share the store remember what lay under a name as long as
// they have it open, and would take part of another snapshot for the same one's.
func dated(key string) string { return fmt.Sprintf("%s.%016x", key, time.Now().UnixNano()) }

// ErrNone says that no snapshot was made yet.
var ErrNone = errors.New("there is no snapshot yet")

// Check sees whether there is a snapshot, and of the machine as it is now. It wraps ErrNone, or says why the snapshot is of no use.
func (p *Place) Check() error {
	if p.Dir == "" {
		return ErrNone
	}
	saved, err := readIdentity(p.Dir)
	if err != nil {
		return err
	}
	if err := saved.check(p.now); err != nil {
		return err
	}
	if p.spoilt() {
		return errors.New("a machine could not go on from it")
	}
	return snapshot.CheckDisks(p.Dir)
}

// Age is how long ago the snapshot was made.
func (p *Place) Age() time.Duration {
	info, err := os.Stat(filepath.Join(p.Dir, snapshot.StateFile))
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}

// Used notes that the snapshot is being used.
func (p *Place) Used() {
	now := time.Now()
	_ = os.Chtimes(filepath.Join(p.Dir, identityFile), now, now) // it only decides which goes first
}

// Remove removes the snapshot. Machines that run from it keep what they need.
func (p *Place) Remove() error {
	var errs []error
	for _, dir := range p.all() {
		errs = append(errs, os.RemoveAll(dir))
	}
	p.Dir = ""
	return errors.Join(errs...)
}

// Spoiler opens what makes the snapshot of no use to others, for a process that finds that out when it can no longer remove it. It is a file of its own: a process that was taken over
// must not be able to change what the next ones go on from.
func (p *Place) Spoiler() (*os.File, error) {
	return os.OpenFile(filepath.Join(p.Dir, spoiltFile), os.O_WRONLY|unix.O_NOFOLLOW, 0)
}

// Spoil has the snapshot that a Spoiler is of made anew.
func Spoil(f *os.File) error {
	_, err := f.WriteAt([]byte{1}, 0)
	return err
}

// spoilt says whether somebody did.
func (p *Place) spoilt() bool {
	info, err := os.Lstat(filepath.Join(p.Dir, spoiltFile))
	return err != nil || info.Size() > 0
}

// ErrBusy says that somebody else is at it.
var ErrBusy = errors.New("another process makes the snapshot already")

// Lock keeps others from making the same snapshot until unlock is called. It returns ErrBusy where another process does. Nested hosts do not see each other's locks: they
// make one each, and the last counts.
func (p *Place) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(p.key+lockSuffix, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// Create begins a snapshot of the files names, and at most size bytes. Others go where there is no room.
func (p *Place) Create(names []string, size int64) (*snapshot.Draft, error) {
	if err := p.store.makeRoom(p, size); err != nil {
		return nil, err
	}
	d, err := snapshot.Create(dated(p.key), append(slices.Clone(names), identityFile, spoiltFile))
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(p.now)
	if err == nil {
		_, err = d.Files[identityFile].Write(b)
	}
	if err == nil {
		err = d.Files[identityFile].Sync()
	}
	if err != nil {
		d.Discard()
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	return d, nil
}

// Commit puts the snapshot that Create began into its place, as snapshot.Draft's Commit does. Older ones go.
func (p *Place) Commit(d *snapshot.Draft, disks []string) error {
	if err := d.Commit(disks); err != nil {
		return err
	}
	all := p.all()
	for _, dir := range all[:max(len(all)-1, 0)] {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("an older snapshot: %w", err)
		}
	}
	return nil
}

func readIdentity(dir string) (*identity, error) {
	f, err := os.OpenFile(filepath.Join(dir, identityFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", snapshot.ErrCorrupt, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity))
	if err != nil {
		return nil, err
	}
	id := new(identity)
	if err := json.Unmarshal(b, id); err != nil {
		return nil, fmt.Errorf("%w: %w", snapshot.ErrCorrupt, err)
	}
	return id, nil
}

// Entry is a snapshot of the store.
type Entry struct {
	Name string
	VMX  string    // of the machine; "" where that cannot be told
	Used time.Time // last
	Made time.Time
	Size int64 // on the disk, in bytes
}

// Verify reads all of a snapshot and compares it with its checksums, as snapshot.Verify does.
func (s *Store) Verify(e Entry) error {
	_, err := snapshot.Verify(filepath.Join(s.root, e.Name))
	return err
}

// List returns all snapshots, the last used first.
func (s *Store) List() ([]Entry, error) {
	folders, err := os.ReadDir(s.root)
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, f := range folders {
		if !f.IsDir() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		dir := filepath.Join(s.root, f.Name())
		e := Entry{Name: f.Name(), Size: sizeOf(dir)}
		if id, err := readIdentity(dir); err == nil {
			e.VMX = id.VMX.Path
		}
		if info, err := os.Stat(filepath.Join(dir, identityFile)); err == nil {
			e.Used = info.ModTime()
		}
		if info, err := os.Stat(filepath.Join(dir, snapshot.StateFile)); err == nil {
			e.Made = info.ModTime()
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return b.Used.Compare(a.Used) })
	return all, nil
}

// sizeOf is what the files of a folder take on the disk.
func sizeOf(dir string) (total int64) {
	const block = 512
	files, _ := os.ReadDir(dir) // one that is gone takes nothing
	for _, f := range files {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(dir, f.Name()), &st) == nil {
			total += st.Blocks * block
		}
	}
	return total
}

// Remove removes the snapshots of a .vmx, or all of them without one, and says how many there were.
func (s *Store) Remove(vmx string) (n int, err error) {
	s.sweep()
	all, err := s.List()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range all {
		if vmx != "" && e.VMX != vmx {
			continue
		}
		n++
		errs = append(errs, s.remove(e.Name))
	}
	return n, errors.Join(errs...)
}

// remove removes a snapshot and, unless somebody is about to make it anew, its lock.
func (s *Store) remove(name string) error {
	err := os.RemoveAll(filepath.Join(s.root, name))
	key, _ := split(name)
	p := &Place{key: filepath.Join(s.root, key), store: s}
	if len(p.all()) > 0 {
		return err
	}
	if unlock, e := p.Lock(); e == nil {
		defer unlock()
		err = errors.Join(err, os.Remove(p.key+lockSuffix))
	}
	return err
}

// sweep removes the drafts that nobody is at work at.
func (s *Store) sweep() {
	folders, _ := os.ReadDir(s.root)
	for _, f := range folders {
		dir := filepath.Join(s.root, f.Name())
		if !f.IsDir() || !strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if id, err := readIdentity(dir); err == nil && id.Boot == bootID() {
			snapshot.Sweep(dir)
		} else if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > draftAge {
			_ = os.RemoveAll(dir) // else next time
		}
	}
}

// Room errs where the disk has no room for a snapshot of so many bytes, even if all others went.
func (p *Place) Room(size int64) error {
	all, err := p.store.List()
	if err != nil {
		return err
	}
	most := p.store.free()
	for _, e := range all {
		if key, _ := split(e.Name); key != filepath.Base(p.key) { // this one goes when the next one is there
			most += e.Size
		}
	}
	return p.store.enough(size, most)
}

// enough errs where so much room is not enough for a snapshot, both in bytes.
func (s *Store) enough(size, room int64) error {
	if lack := size + spare - room; lack > 0 {
		return fmt.Errorf("a snapshot of %d MiB in %s needs %d MiB more on its disk", size>>20, s.root, lack>>20)
	}
	return nil
}

// makeRoom removes snapshots that nobody can use any more, and those that were not used for longest, until there is room for one more at p.
func (s *Store) makeRoom(p *Place, size int64) error {
	s.sweep()
	all, err := s.List()
	if err != nil {
		return err
	}
	total := size
	var kept []Entry
	for _, e := range all {
		key, _ := split(e.Name)
		switch {
		case key == filepath.Base(p.key): // is replaced
		case outdated(e, p.now):
			if err := s.remove(e.Name); err != nil {
				return err
			}
		default:
			total += e.Size
			kept = append(kept, e)
		}
	}
	free, used := s.free(), total-size
	if err := s.enough(size, free+used); err != nil {
		return err
	}
	for len(kept) > 0 && (total > Limit || free < size+spare) {
		last := kept[len(kept)-1]
		kept = kept[:len(kept)-1]
		if err := s.remove(last.Name); err != nil {
			return err
		}
		total -= last.Size
		free += last.Size
	}
	return nil
}

// outdated says whether a snapshot is of a .vmx that is not there any more, or, where it is the one of now, that has changed.
func outdated(e Entry, now *identity) bool {
	if e.VMX == "" {
		return true
	}
	info, err := os.Stat(e.VMX)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return e.VMX == now.VMX.Path && info.ModTime().After(e.Made)
}

// free is how much the disk has room for, in bytes.
func (s *Store) free() int64 {
	var st unix.Statfs_t
	if unix.Statfs(s.root, &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}
