package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk/volatile"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/state"
)

// Snapshot is a machine that was saved, to go on from. A nil Snapshot is none.
type Snapshot struct {
	folder  *os.File // stays the same one when another takes its place
	meta    *snapshot.Meta
	devices []byte
	pages   *os.File // memory of devices; nil where the state of devices holds it itself
	memory  *os.File
	working working
}

// OpenSnapshot opens the snapshot in a folder.
func OpenSnapshot(dir string) (*Snapshot, error) {
	folder, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0) // another machine's, perhaps
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	s := &Snapshot{folder: folder}
	if err := s.open(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) open() error {
	f, err := openAt(s.folder, snapshot.StateFile)
	if err != nil {
		return fmt.Errorf("open a snapshot: %w", err)
	}
	defer f.Close()
	if s.meta, s.devices, err = snapshot.Read(f); err != nil {
		return err
	}
	if s.memory, err = openAt(s.folder, snapshot.MemoryFile); err != nil {
		return fmt.Errorf("open a snapshot: %w", err)
	}
	if s.pages, err = openAt(s.folder, snapshot.PagesFile); err != nil {
		return fmt.Errorf("open a snapshot: %w", err)
	}
	return nil
}

// openAt opens a file of a folder for reading. A link is not followed: a snapshot from a stranger would have the guest's memory, which the guest reads, be any file of this user's.
func openAt(folder *os.File, name string) (*os.File, error) {
	path := filepath.Join(folder.Name(), name)
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// path is a path of one of the snapshot's files, as long as the snapshot is open.
func (s *Snapshot) path(name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(s.folder.Fd())), name)
}

// Close closes the snapshot's files. What goes on from it needs them no more once it has started.
func (s *Snapshot) Close() error {
	if s == nil {
		return nil
	}
	s.working.close()
	var errs []error
	for _, f := range []*os.File{s.memory, s.pages, s.folder} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Name and Saved say which machine was saved, and when.
func (s *Snapshot) Name() string     { return s.meta.Name }
func (s *Snapshot) Saved() time.Time { return s.meta.Saved }

// fits checks what New relies on; the rest is compared when there is a board.
func (s *Snapshot) fits(m *config.Machine) error {
	if s != nil && len(s.meta.MACs) != len(m.NICs) {
		return fmt.Errorf("the snapshot is of a machine with %d network cards; this one has %d", len(s.meta.MACs), len(m.NICs))
	}
	return nil
}

// kept is the file with what the machine had written to a disk whose writes are thrown away, or "".
func (s *Snapshot) kept(a config.Address) string {
	if s == nil || !slices.Contains(s.meta.Kept, a.String()) {
		return ""
	}
	return s.path(snapshot.DiskFile(a))
}

// takeSnapshot returns what the next board goes on from. Later ones are powered on.
func (m *Machine) takeSnapshot() *Snapshot {
	s := m.from
	m.from = nil
	return s
}

// shape describes the machine as far as a snapshot depends on it.
func (m *Machine) shape() []string {
	sizes := make([]int64, len(m.disks))
	for i, d := range m.disks {
		if d != nil {
			sizes[i] = d.Size()
		}
	}
	return snapshot.Shape(m.cfg, sizes)
}

// SnapshotFiles are the names of the files that SaveSnapshot fills.
func (m *Machine) SnapshotFiles() []string {
	names := []string{snapshot.StateFile, snapshot.MemoryFile, snapshot.PagesFile, snapshot.SumsFile}
	for i, d := range m.disks {
		if _, ok := d.(*volatile.Image); ok {
			names = append(names, snapshot.DiskFile(m.cfg.Disks[i].Address))
		}
	}
	return names
}

// ErrOff says that there is nothing to save.
var ErrOff = errors.New("the machine is powered off, or just starting anew")

// errAsleep says that most of the machine is switched off.
var errAsleep = errors.New("the guest sleeps (suspended to RAM): its power button wakes it (vmm stop presses it), and then it can be saved")

// SaveSnapshot saves the machine as it is to files of the names that SnapshotFiles gives, all empty, and syncs them. The guest stands still meanwhile, and
// goes on afterwards unless it is paused, or off, asked when all is saved, says that the machine shall be powered off there; nil is no. Disks that are
// written to for good are flushed and must not change before the machine goes on from there: either it does not go on in between, or children take their places.
func (m *Machine) SaveSnapshot(files map[string]*os.File, children []control.Child, off func() bool) error {
	for _, name := range m.SnapshotFiles() {
		if files[name] == nil {
			return fmt.Errorf("a snapshot of this machine needs the file %s", name)
		}
	}
	m.Pause()
	ended := false
	defer func() {
		if !ended { // else it takes no further step
			m.Resume()
		}
	}()
	m.turn.Lock() // nobody takes the board down
	defer m.turn.Unlock()
	var next []successor
	if len(children) > 0 {
		var err error
		if next, err = m.openSuccessors(files, children); err != nil {
			return err
		}
	}
	frozen := false
	defer func() {
		if !frozen {
			closeSuccessors(next)
		}
	}()
	m.mu.Lock()
	b, asleep := m.board, m.state() == control.Asleep
	m.mu.Unlock()
	switch {
	case asleep:
		return errAsleep
	case b == nil:
		return ErrOff
	}
	meta := &snapshot.Meta{
		Name: m.cfg.Name, Saved: time.Now().UTC(), Shape: m.shape(), CPUID: b.vm.CPUID(), TSC: b.vm.VCPUs()[0].KVM().TSCKHz(), UUID: m.uuid, MACs: m.macs,
		Connections: m.connections(),
	}
	for i, d := range m.disks {
		if d == nil {
			continue
		}
		a := m.cfg.Disks[i].Address
		v, ok := d.(*volatile.Image)
		if !ok {
			if err := d.Flush(); err != nil {
				return fmt.Errorf("disk %s: %w", a, err)
			}
			continue
		}
		if err := v.SaveTo(files[snapshot.DiskFile(a)]); err != nil {
			return err
		}
		meta.Kept = append(meta.Kept, a.String())
	}
	devices, err := b.save(state.NewAside(files[snapshot.PagesFile]))
	if err != nil {
		return fmt.Errorf("save the machine's state: %w", err)
	}
	if err := m.saveMemory(b, files); err != nil {
		return err
	}
	var w bytes.Buffer
	if err := snapshot.Write(&w, meta, devices); err != nil {
		return err
	}
	if _, err := files[snapshot.StateFile].Write(w.Bytes()); err != nil {
		return fmt.Errorf("write a snapshot's state: %w", err)
	}
	for _, name := range m.SnapshotFiles() {
		if err := files[name].Sync(); err != nil {
			return fmt.Errorf("write a snapshot: %w", err)
		}
	}
	if frozen = len(next) > 0; frozen {
		if err := m.freeze(next); err != nil {
			return err
		}
	}
	if off != nil && off() {
		ended = true
		m.PowerOff()
	}
	return nil
}

// saveMemory writes RAM, and checksums of it and of what else is large, which has been written.
func (m *Machine) saveMemory(b *board, files map[string]*os.File) error {
	ram := snapshot.Summed{Name: snapshot.MemoryFile, Size: int64(b.mem.Size())}
	var err error
	if _, ram.Sums, err = b.mem.WriteTo(files[ram.Name]); err != nil {
		return err
	}
	all := []snapshot.Summed{ram}
	for _, name := range m.SnapshotFiles() {
		switch name {
		case snapshot.StateFile, snapshot.MemoryFile, snapshot.SumsFile:
			continue
		}
		s, err := snapshot.Sum(name, files[name])
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	return snapshot.WriteSums(files[snapshot.SumsFile], all)
}

// save returns the state of processors and devices of a paused board. Memory of devices goes to pages, unless that is nil.
func (b *board) save(pages *state.Aside) ([]byte, error) {
	if err := b.saveTPM(); err != nil {
		return nil, err
	}
	var w state.Writer
	if err := b.vm.Save(&w); err != nil {
		return nil, err
	}
	w.U16(uint16(len(b.devices)))
	for _, d := range b.devices {
		dev := state.Writer{Aside: pages}
		d.Save(&dev)
		w.Bytes(dev.Data())
	}
	return w.Data(), pages.Err()
}

// restore brings the board to where the snapshot was saved.
func (b *board) restore() error {
	s := b.from
	defer s.Close()
	if err := s.meta.Check(b.m.shape(), b.vm.CPUID(), b.vm.VCPUs()[0].KVM().TSCKHz()); err != nil {
		return err
	}
	b.m.opt.Timeline.Add("snapshot fits")
	r := state.NewReader(s.devices)
	// The interrupt controllers before the devices, which drive their lines anew.
	if err := b.vm.Restore(r); err != nil {
		return fmt.Errorf("restore the processors: %w", err)
	}
	b.m.opt.Timeline.Add("processors restored")
	var pages *state.Aside
	if s.pages != nil {
		pages = state.NewAside(s.pages)
		defer b.finishPages(pages, s)
	}
	if err := b.vm.RestoreDevices(func() error { return b.restoreDevices(r, pages) }); err != nil {
		return err
	}
	s.devices = nil
	if err := b.restoreTPM(); err != nil {
		return err
	}
	close(b.restored)
	if b.generation != nil {
		b.generation.Renew()
	}
	b.record()
	return nil
}

// finishPages has the memory of devices come beside the guest, and takes its file from the snapshot.
func (b *board) finishPages(pages *state.Aside, s *Snapshot) {
	file := s.pages
	s.pages = nil
	b.aside("memory of devices", func(<-chan struct{}) {
		defer file.Close()
		pages.Wait()
		b.m.opt.Timeline.Add("memory of devices read")
	})
}

// restoreDevices has each device take its part of r. Memory of devices lies in pages.
func (b *board) restoreDevices(r *state.Reader, pages *state.Aside) error {
	if n := r.U16(); r.Err() == nil && int(n) != len(b.devices) {
		r.Fail("%d devices, this machine has %d", n, len(b.devices))
	}
	for i, d := range b.devices {
		dev := state.NewReader(r.Bytes(state.MaxBytes))
		dev.Aside = pages
		if r.Err() != nil {
			break
		}
		if err := d.Restore(dev); err != nil {
			return fmt.Errorf("restore device %d (%T): %w", i, d, err)
		}
	}
	return r.Err()
}
