package vhd

import (
	"bytes"
	"io"

	"github.com/sharevm/vmm/disk"
)

// maxPadding is how far before the end of a file the footer of a fixed disk is looked for behind which there are only zeroes, in bytes.
const maxPadding = 1 << 20

// location is where a file's footer was found.
type location struct {
	footer    *footer
	footerAt  int64
	fileSize  int64
	recovered bool // it is the copy at the start, because the one at the end is no good
	displaced bool // it is a fixed disk's and not at the end of the file: only zeroes follow it
}

// end is where the footer at the end is or belongs: new blocks may start there.
func (l location) end() int64 {
	if l.recovered {
		return (l.fileSize + sectorSize - 1) / sectorSize * sectorSize
	}
	return l.footerAt
}

// short says whether the footer is one of 511 bytes.
func (l location) short() bool {
	return !l.recovered && !l.displaced && l.fileSize-l.footerAt < footerSize
}

// locate finds the footer: at the end, else its copy at the start, which only growing disks have, else that of a fixed disk where the
// program that made the file longer left it.
func locate(file disk.File) (location, error) {
	size, err := file.Size()
	if err != nil {
		return location{}, err
	}
	if size < footerSize-1 {
		return location{}, disk.Corrupt(file.Name(), 0, "%d bytes are too few for a VHD's footer", size)
	}
	last, at, err := readFooter(file, size)
	if err != nil {
		return location{}, err
	}
	problem := last.problem()
	if problem == "" {
		return location{footer: last, footerAt: at, fileSize: size}, nil
	}
	first := &footer{}
	if _, err := file.ReadAt(first[:], 0); err != nil && err != io.EOF {
		return location{}, err
	}
	if first.problem() == "" && first.diskType() != typeFixed {
		return location{footer: first, fileSize: size, recovered: true}, nil
	}
	if l, ok, err := seek(file, size); ok || err != nil {
		return l, err
	}
	return location{}, disk.Corrupt(file.Name(), at, "%s, and no sound copy at the start", problem)
}

// readFooter reads the last sector. Programs before Virtual PC 2004 wrote a footer of 511 bytes.
func readFooter(file disk.File, size int64) (*footer, int64, error) {
	f := &footer{}
	p := f[:]
	if size%sectorSize == footerSize-1 {
		p = f[:footerSize-1]
	}
	at := size - int64(len(p))
	return f, at, disk.ReadFull(file, p, at, "footer")
}

// seek looks for the footer of a fixed disk before the end of its file: a power of two of sectors before it, where an interrupted
// growth leaves it (see growFixed), or under padding. Nothing but zeroes may follow it.
func seek(file disk.File, size int64) (location, bool, error) {
	var places []int64
	end := size / sectorSize * sectorSize
	for step := int64(sectorSize); step < end; step *= 2 {
		places = append(places, end-footerSize-step)
	}
	if at, err := lastData(file, size); err != nil {
		return location{}, false, err
	} else if at >= 0 {
		places = append(places, at)
	}
	for _, at := range places {
		f := &footer{}
		if at < 0 {
			continue
		}
		if err := disk.ReadFull(file, f[:], at, "footer"); err != nil {
			return location{}, false, err
		}
		if f.problem() != "" || f.diskType() != typeFixed || f.capacity() > uint64(at) {
			continue
		}
		if rest, err := zeroes(file, at+footerSize, size, nil); err != nil || rest {
			return location{footer: f, footerAt: at, fileSize: size, displaced: true}, err == nil, err
		}
	}
	return location{}, false, nil
}

// lastData returns the last sector of the file that holds anything, or -1 if that is far from the end.
func lastData(file disk.File, size int64) (int64, error) {
	start := max(0, size-maxPadding) / sectorSize * sectorSize
	p := make([]byte, size-start)
	if err := disk.ReadFull(file, p, start, "end"); err != nil {
		return 0, err
	}
	k := len(bytes.TrimRight(p, "\x00"))
	at := start + int64(k-1)/sectorSize*sectorSize
	if k == 0 || at+footerSize > size {
		return -1, nil
	}
	return at, nil
}

// zeroes says whether [from, to) of the file holds nothing but zeroes, and sectors that may be there.
func zeroes(file disk.File, from, to int64, may func(sector []byte) bool) (bool, error) {
	buf := make([]byte, 64<<10)
	for from < to {
		start, end, err := file.NextData(from)
		if err != nil {
			return false, err
		}
		start, end = start/sectorSize*sectorSize, min(end, to)
		for from = max(from, start); from < end; {
			p := buf[:min(int64(len(buf)), end-from)]
			if err := disk.ReadFull(file, p, from, "room behind the disk"); err != nil {
				return false, err
			}
			from += int64(len(p))
			for len(p) > 0 {
				s := p[:min(sectorSize, len(p))]
				if len(bytes.TrimLeft(s, "\x00")) > 0 && (may == nil || !may(s)) {
					return false, nil
				}
				p = p[len(s):]
			}
		}
		if start >= to || end == start {
			break
		}
	}
	return true, nil
}
