package vhdx

import (
	"errors"
	"fmt"
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
	metadata  *metadata
	dataWrite guid // when it was opened; what children remember
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
	if c.regions, err = readRegions(c.file, &hs.header, c.size); err != nil {
		return nil, err
	}
	c.metadata, err = readMetadata(c.file, c.regions.metadata)
	return c, err
}

func open(file *steady, o disk.OpenOptions) (*Image, error) {
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	m := c.metadata
	i := &Image{metadata: m, dataWrite: c.headers.dataWrite, info: disk.Info{
		Format: "vhdx", Variant: m.variant(), Path: file.Name(), Files: []string{file.Name()}, Size: m.size, BlockSize: m.blockSize,
		SectorSize: int(m.sector), ReadOnly: o.ReadOnly, Unclean: c.headers.dirty(), ID: c.headers.dataWrite.String(),
		Warnings: slices.Concat(c.headers.problems, c.regions.problems),
	}}
	s := &session{file: file, headers: c.headers}
	t, err := newTable(c.file, newLayout(m), s, c.regions, c.size)
	if err != nil {
		return nil, err
	}
	if err := t.survey(); err != nil {
		return nil, err
	}
	var parent disk.Image
	if m.locator != nil {
		if parent, err = i.openParent(m, o); err != nil {
			return nil, err
		}
	}
	if err := i.recover(c, t, s, o); err != nil {
		if parent != nil {
			parent.Close()
		}
		return nil, err
	}
	var store *mapped.Store
	if parent != nil {
		store = mapped.NewChild(t.file, t, chain.Window{Image: parent})
	} else {
		store = mapped.New(t.file, t)
	}
	i.Front = space.NewFront(store, m.size, o.ReadOnly, space.Hooks{Begin: s.begin, End: func(clean bool) error {
		return end(clean, t, s, parent)
	}})
	return i, nil
}

// recover brings the log's changes into the file, if there are any and it may be written.
func (i *Image) recover(c *contents, t *table, s *session, o disk.OpenOptions) error {
	if c.replay == nil {
		return nil
	}
	where := "in memory"
	if !o.ReadOnly {
		where = "in the file"
		if err := s.recover(c.replay, t); err != nil {
			return fmt.Errorf("%s: recover from a writer that did not close it: %w", i.info.Path, err)
		}
	}
	i.info.Warnings = append(i.info.Warnings, "the disk was not closed by the last program; its log has been replayed "+where)
	return nil
}

// openParent opens the parent and checks that it is the one which the disk was made from.
func (i *Image) openParent(m *metadata, o disk.OpenOptions) (disk.Image, error) {
	path := i.info.Path
	parent, err := chain.Link{Child: path, Names: m.locator.names, Format: "vhdx", Own: openParent}.Open(o)
	if err != nil {
		return nil, err
	}
	problem, stale := "", false
	p, ok := parent.(*Image)
	switch {
	case !ok:
		problem = "it is no VHDX file"
	case p.info.SectorSize != i.info.SectorSize:
		problem = fmt.Sprintf("its sectors have %d bytes and the child's %d", p.info.SectorSize, i.info.SectorSize)
	case !slices.Contains(m.locator.linkage, p.dataWrite):
		problem, stale = fmt.Sprintf("recorded %v, found %v", m.locator.linkage[0], p.dataWrite), true
	}
	if problem != "" && !(stale && o.AllowStaleParent) {
		parent.Close()
		if stale {
			return nil, chain.Stale(path, parent.Info().Path, problem)
		}
		return nil, disk.Corrupt(path, -1, "%s cannot be its parent: %s", parent.Info().Path, problem)
	}
	if stale {
		i.info.Warnings = append(i.info.Warnings, "the parent has changed since this disk was made from it ("+problem+"); what is read may be nonsense")
	}
	i.info.Parent = p.info.Path
	return parent, nil
}

// end closes the files, with the log empty if all went well.
func end(clean bool, t *table, s *session, parent disk.Image) error {
	var err error
	if clean && s.log != nil {
		if err = t.apply(); err == nil {
			err = s.closeLog()
		}
	}
	err = errors.Join(err, s.file.Close())
	if parent != nil {
		err = errors.Join(err, parent.Close())
	}
	return err
}
