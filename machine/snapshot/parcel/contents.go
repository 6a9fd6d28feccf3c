package parcel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"regexp"

	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

const (
	magic     = "vmmparc1"
	headSize  = len(magic) + 8
	pieceHead = 16
	lastFile  = 1<<32 - 1
	maxList   = 1 << 20 // bytes
	maxFiles  = 256     // more than a machine has disks
	maxSize   = 1 << 44 // of a file, in bytes: holes cost nothing
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Contents is the list of what a parcel holds.
type Contents struct {
	Files []File
	Disks []Disk // that the machine was saved with, and which are not in the parcel
}

// File is a file of the snapshot.
type File struct {
	Name string
	Size int64 // bytes, holes included
	Data int64 // at most so many bytes are not zero; whole units, but for the file's last
}

// Disk tells a file of a disk from others.
type Disk struct {
	Path   string // in the machine's folder
	SHA256 string
}

// Names are the names of the snapshot's files.
func (c *Contents) Names() (names []string) {
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	return names
}

// Room is how much room the snapshot may take on a disk, in bytes.
func (c *Contents) Room() (n int64) {
	for _, f := range c.Files {
		n += f.Data
	}
	return n
}

// diskName is the name of a file with what the machine wrote to a disk.
var diskName = regexp.MustCompile(`^disk-[a-z0-9]+[0-9:]*$`)

// known says whether a snapshot has a file of that name. The one that lists disks is made anew where the parcel is opened.
func known(name string) bool {
	switch name {
	case snapshot.StateFile, snapshot.MemoryFile, snapshot.PagesFile, snapshot.SumsFile, snapshot.WorkingFile:
		return true
	}
	return diskName.MatchString(name)
}

func (c *Contents) check() error {
	if len(c.Files) > maxFiles || len(c.Disks) > maxFiles {
		return fmt.Errorf("%w: it lists %d files and %d disks", snapshot.ErrCorrupt, len(c.Files), len(c.Disks))
	}
	seen := map[string]bool{}
	for _, f := range c.Files {
		if !known(f.Name) || seen[f.Name] {
			return fmt.Errorf("%w: it lists a file %q", snapshot.ErrCorrupt, f.Name)
		}
		seen[f.Name] = true
		if f.Size < 0 || f.Size > maxSize || f.Data < 0 || f.Data > f.Size {
			return fmt.Errorf("%w: its file %s has %d bytes, and %d of them are not zero", snapshot.ErrCorrupt, f.Name, f.Size, f.Data)
		}
	}
	for _, name := range []string{snapshot.StateFile, snapshot.MemoryFile} {
		if !seen[name] {
			return fmt.Errorf("%w: it has no file %s", snapshot.ErrCorrupt, name)
		}
	}
	for _, d := range c.Disks {
		if !filepath.IsLocal(d.Path) {
			return fmt.Errorf("%w: it is of a disk %q, outside of the machine's folder", snapshot.ErrCorrupt, d.Path)
		}
	}
	return nil
}

func (c *Contents) write(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	list, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(list) > maxList {
		return fmt.Errorf("a list of %d bytes is too long", len(list))
	}
	b := binary.LittleEndian.AppendUint32([]byte(magic), crc32.Checksum(list, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	_, err = w.Write(append(b, list...))
	return err
}

// ReadContents reads a parcel's list. What comes next in r is for Unpack.
func ReadContents(r io.Reader) (*Contents, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, cut(err)
	}
	if string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: this is no parcel of vmm snapshot export", snapshot.ErrCorrupt)
	}
	n := binary.LittleEndian.Uint32(head[len(magic)+4:])
	if n > maxList {
		return nil, fmt.Errorf("%w: its list has %d bytes", snapshot.ErrCorrupt, n)
	}
	list := make([]byte, n)
	if _, err := io.ReadFull(r, list); err != nil {
		return nil, cut(err)
	}
	if crc32.Checksum(list, castagnoli) != binary.LittleEndian.Uint32(head[len(magic):]) {
		return nil, fmt.Errorf("%w: the checksum of its list is wrong", snapshot.ErrCorrupt)
	}
	c := new(Contents)
	if err := json.Unmarshal(list, c); err != nil {
		return nil, fmt.Errorf("%w: %w", snapshot.ErrCorrupt, err)
	}
	return c, c.check()
}

// cut is the error of a parcel that ends too early.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too early", snapshot.ErrCorrupt)
	}
	return err
}

// unitLen is the length of a file's unit in bytes; 0 where it has none of that number.
func (f *File) unitLen(unit int64) int {
	return int(min(max(f.Size-unit*memory.SumUnit, 0), memory.SumUnit))
}
