package vhdx

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	info      disk.Info
	options   disk.OpenOptions
	metadata  *metadata
	dataWrite guid // when it was opened; what children remember
	session   *session
	table     *table
	store     *mapped.Store
	parent    disk.Image // nil if it has none or was opened alone
}

var _ disk.VectorImage = (*Image)(nil)

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }

// Open opens path. A log that the last program left is replayed: in memory if the image is opened read-only, else in the file.
func Open(path string, o disk.OpenOptions) (*Image, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	i, err := open(&steady{File: file}, o)
	if err != nil {
		file.Close()
		return nil, err
	}
	for _, w := range i.info.Warnings {
		o.Log().Warn(w, "disk", path)
	}
	return i, nil
}

// openParent is Open as chains want it.
func openParent(path string, o disk.OpenOptions) (disk.Image, error) {
	i, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// steady is a file whose sync fails for good once it has failed: the kernel may have dropped what it could not write.
type steady struct {
	disk.File
	mu     sync.Mutex
	broken error
}

func (s *steady) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = s.File.Sync()
	}
	return s.broken
}

// fail has every sync fail from now on.
func (s *steady) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
}

// contents is what a file says before its blocks.
type contents struct {
	headers  *headers
	regions  *regions
	metadata *metadata
	file     disk.File // as the log leaves it
	size     int64     // of that
	replay   *replayed // nil if there was nothing to replay
}

// read reads everything in front of the blocks. It changes nothing.
func read(file disk.File) (*contents, error) {
	hs, err := readHeaders(file)
	if err != nil {
		return nil, err
	}
	c := &contents{headers: hs, file: file}
	if c.size, err = file.Size(); err != nil {
		return nil, err
	}
	if c.size > maxFile {
		return nil, disk.Corrupt(file.Name(), maxFile, "a file of %d bytes is larger than any disk needs", c.size)
	}
	if hs.dirty() {
		changes, size, err := readLog(file, &hs.header, c.size)
		if err != nil {
			return nil, err
		}
		c.replay = replay(file, changes, size)
		c.file, c.size = c.replay, max(c.size, size)
	}
	return c, c.readTables()
}

// readTables reads what lies behind the headers and the log.
func (c *contents) readTables() (err error) {
	if c.regions, err = readRegions(c.file, &c.headers.header, c.size); err != nil {
		return err
	}
	c.metadata, err = readMetadata(c.file, c.regions.metadata)
	return err
}

func open(file *steady, o disk.OpenOptions) (*Image, error) {
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	m := c.metadata
	i := &Image{
		options: o, dataWrite: c.headers.dataWrite, session: &session{file: file, headers: c.headers, keep: o.KeepIdentity},
		info: disk.Info{
			Format: "vhdx", Path: file.Name(), Files: []string{file.Name()}, SectorSize: int(m.sector), ReadOnly: o.ReadOnly,
			Unclean: c.headers.dirty(), ID: c.headers.dataWrite.String(), Warnings: slices.Concat(c.headers.problems, c.regions.problems),
		},
	}
	t, err := i.tableOf(c)
	if err != nil {
		return nil, err
	}
	if m.locator != nil {
		if err := i.openParent(m); err != nil {
			return nil, err
		}
	}
	if err := i.recover(c, t); err != nil {
		if i.parent != nil {
			i.parent.Close()
		}
		return nil, err
	}
	i.attach(m, t)
	return i, nil
}

// tableOf returns the block allocation table of what was read.
func (i *Image) tableOf(c *contents) (*table, error) {
	t, err := newTable(c.file, newLayout(c.metadata), i.session, c.regions, c.size)
	if err != nil {
		return nil, err
	}
	return t, t.survey()
}

// attach has the image read and write by t.
func (i *Image) attach(m *metadata, t *table) {
	i.metadata, i.table = m, t
	i.info.Size, i.info.BlockSize, i.info.Variant = m.size, m.blockSize, m.variant()
	readOnly := i.options.ReadOnly
	if m.locator != nil && i.parent != nil {
		i.store = mapped.NewChild(t.file, t, chain.Window{Image: i.parent})
	} else {
		i.store = mapped.New(t.file, t)
		readOnly = readOnly || m.locator != nil // nobody knows what a write leaves of a block
	}
	i.store.ShowHoles(m.blockSize)
	i.Front = space.NewFront(i.store, m.size, readOnly, space.Hooks{Begin: i.session.begin, End: i.end})
}

// reload reads the file's tables anew. The log may be in use, with all of it in its place.
func (i *Image) reload() error {
	c := &contents{headers: i.session.headers, file: i.session.file}
	var err error
	if c.size, err = c.file.Size(); err != nil {
		return err
	}
	if err := c.readTables(); err != nil {
		return err
	}
	t, err := i.tableOf(c)
	if err != nil {
		return err
	}
	i.attach(c.metadata, t)
	return nil
}

// recover brings the log's changes into the file, if there are any and it may be written.
func (i *Image) recover(c *contents, t *table) error {
	if c.replay == nil {
		return nil
	}
	where := "in memory"
	if !i.options.ReadOnly {
		where = "in the file"
		if err := i.session.recover(c.replay, t); err != nil {
			return fmt.Errorf("%s: recover from a writer that did not close it: %w", i.info.Path, err)
		}
	}
	i.info.Warnings = append(i.info.Warnings, "the disk was not closed by the last program; its log has been replayed "+where)
	return nil
}

// openParent opens the parent, unless the image is opened alone, and checks that it is the one which the disk was made from.
func (i *Image) openParent(m *metadata) error {
	path, o := i.info.Path, i.options
	if o.Alone {
		if len(m.locator.names) > 0 {
			i.info.Parent = filepath.Join(filepath.Dir(path), filepath.FromSlash(m.locator.names[0]))
		}
		return nil
	}
	parent, err := chain.Link{Child: path, Names: m.locator.names, Format: "vhdx", Own: openParent}.Open(o)
	if err != nil {
		return err
	}
	problem, stale := i.misfit(parent), false
	if p, ok := parent.(*Image); ok && problem == "" && !slices.Contains(m.locator.linkage, p.dataWrite) {
		problem, stale = fmt.Sprintf("recorded %v, found %v", m.locator.linkage[0], p.dataWrite), true
	}
	if problem != "" && !(stale && o.AllowStaleParent) {
		parent.Close()
		if stale {
			return chain.Stale(path, parent.Info().Path, problem)
		}
		return disk.Corrupt(path, -1, "%s cannot be its parent: %s", parent.Info().Path, problem)
	}
	if stale {
		i.info.Warnings = append(i.info.Warnings, "the parent has changed since this disk was made from it ("+problem+"); what is read may be nonsense")
	}
	i.parent, i.info.Parent = parent, parent.Info().Path
	return nil
}

// misfit says why the image cannot have this parent, or returns "".
func (i *Image) misfit(parent disk.Image) string {
	p, ok := parent.(*Image)
	switch {
	case !ok:
		return "it is no VHDX file"
	case p.info.SectorSize != i.info.SectorSize:
		return fmt.Sprintf("its sectors have %d bytes and the child's %d", p.info.SectorSize, i.info.SectorSize)
	}
	return ""
}

// end closes the files, with the log empty if all went well.
func (i *Image) end(clean bool) error {
	var err error
	if clean && i.session.log != nil {
		err = i.table.settle()
	}
	err = errors.Join(err, i.session.file.Close())
	if i.parent != nil {
		err = errors.Join(err, i.parent.Close())
	}
	return err
}
