package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Relinker = (*Image)(nil)

// Relink implements [disk.Relinker]. The format keeps no identity of a parent: its name and format are all that is recorded.
func (i *Image) Relink(parent, format string) error {
	if err := i.relink(parent, format); err != nil {
		return fmt.Errorf("%s: base it on %q: %w", i.info.Path, parent, err)
	}
	return nil
}

func (i *Image) relink(parent, format string) error {
	if i.info.ReadOnly {
		return disk.ErrReadOnly
	}
	if err := i.Flush(); err != nil {
		return err
	}
	link := *i.table.header
	link.backing, link.backingType = "", ""
	var info disk.Info
	if parent != "" {
		o := disk.CreateOptions{
			Parent: parent, ParentFormat: format,
			AllowOutside: i.opened.AllowOutside, Parents: i.opened.Parents, Logger: i.opened.Logger, Files: i.opened.Files,
		}
		var err error
		if info, err = link.base(i.info.Path, o); err != nil {
			return err
		}
	}
	if err := i.writeLink(&link); err != nil {
		return err
	}
	i.table.backing, i.table.backingType = link.backing, link.backingType
	i.info.Files, i.info.Parent = append([]string{i.info.Path}, info.Files...), parent
	return nil
}

// writeLink writes the parent's name and format of link into the header. A write that the power's failure cuts short leaves whole sectors, so that
// all that leads to the name must change in the first: the name is put where nothing else is, and then that sector is written. What programs have
// added about the disk's contents is disowned, because those may change.
func (i *Image) writeLink(link *header) error {
	old := make([]byte, min(link.clusterSize(), i.table.refs.length.Load()))
	if err := disk.ReadFull(i.file, old, 0, "header"); err != nil {
		return err
	}
	p, err := link.relinked(i.file.Name(), old)
	if err != nil {
		return err
	}
	at, size := 0, len(link.backing)
	switch {
	case size == 0:
	case len(p)+size <= sectorSize:
		at = len(p)
		p = append(p, link.backing...)
	default:
		at = roomForName(old, link.length, size)
		if at == 0 {
			return fmt.Errorf("%w: the header's cluster of %d bytes has no room for that name beside what it holds", disk.ErrUnsupported, len(old))
		}
		if err := i.writeHeader(int64(at), []byte(link.backing)); err != nil {
			return err
		}
	}
	binary.BigEndian.PutUint64(p[8:], uint64(at))
	binary.BigEndian.PutUint32(p[16:], uint32(size))
	return i.writeHeader(0, append(p, make([]byte, sectorSize-len(p))...))
}

// relinked returns the header in a cluster and its extensions, with the parent's format changed, in less than a sector. The extension that only
// names the features for people is left out if it does not fit.
func (h *header) relinked(name string, old []byte) ([]byte, error) {
	if len(h.backing) > maxNameSize {
		return nil, fmt.Errorf("a parent's name has %d bytes at most", maxNameSize)
	}
	for _, names := range []bool{true, false} {
		p := append([]byte(nil), old[:h.length]...)
		if h.version >= 3 {
			binary.BigEndian.PutUint64(p[autoclearAt:], 0)
		}
		if h.backing != "" {
			p = appendExtension(p, extensionBacking, []byte(h.backingType))
		}
		extensions(beforeName(old), h.length, func(kind uint32, _ int64, data []byte) {
			if kind != extensionBacking && (kind != extensionNames || names) {
				p = appendExtension(p, kind, data)
			}
		})
		p = append(p, make([]byte, 8)...) // the end of the extensions
		if len(p) <= sectorSize && h.length%8 == 0 {
			return p, nil
		}
	}
	return nil, disk.Unsupported(name, h.length, "the header and its extensions are longer than a sector, so that they cannot be changed safely")
}

// beforeName is the part of a header's cluster that the extensions lie in.
func beforeName(p []byte) []byte {
	if at := binary.BigEndian.Uint64(p[8:]); at != 0 {
		return p[:at]
	}
	return p
}

// roomForName returns a place behind the first sector of a header's cluster where neither the present name nor the extensions lie, or 0.
func roomForName(p []byte, headerLength int64, size int) int {
	end := headerLength + 8
	extensions(beforeName(p), headerLength, func(_ uint32, at int64, data []byte) {
		end = at + 8 + (int64(len(data))+7)/8*8 + 8
	})
	at := max(sectorSize, int(end+7)&^7)
	from, length := int(binary.BigEndian.Uint64(p[8:])), int(binary.BigEndian.Uint32(p[16:]))
	if at < from+length && from < at+size {
		at = (from + length + 7) &^ 7
	}
	if at+size > len(p) {
		return 0
	}
	return at
}
