package ntfs

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// restartSize is where the second of the two restart pages lies: the system page size, 4 KiB wherever Windows runs.
const restartSize = 4096

const (
	restartNoClient = 0xffff
	restartClean    = 2
)

// judgeLog refuses a volume whose journal was not closed. Of the two restart pages that with the higher sequence number counts.
func (v *Volume) judgeLog(ctx context.Context) error {
	r, err := v.system(ctx, fileLog)
	if err != nil {
		return err
	}
	log, err := v.dataOf(r)
	if err != nil {
		return err
	}
	open := volume.Refuse("NTFS was not cleanly unmounted (its log is open); boot Windows once and shut down, fast startup off")
	p := make([]byte, restartSize)
	empty := bytes.Repeat([]byte{0xff}, restartSize)
	newest, clean, blank := uint64(0), false, 0
	for at := int64(0); at < 2*restartSize; at += restartSize {
		if err := log.read(ctx, p, at); err != nil {
			return err
		}
		if bytes.Equal(p, empty) {
			blank++ // other systems' drivers and mkntfs empty the log, once nothing is left in it
			continue
		}
		lsn, closed, err := restartArea(p)
		if err != nil {
			return err
		}
		// Of two pages of one age both have to say so.
		if lsn > newest || newest == 0 {
			newest, clean = lsn, closed
		} else if lsn == newest {
			clean = clean && closed
		}
	}
	if blank == 2 || blank == 0 && clean {
		return nil
	}
	return open
}

// restartArea takes a restart page apart: its sequence number and whether the log was closed.
func restartArea(p []byte) (lsn uint64, closed bool, err error) {
	if string(p[:4]) != "RSTR" {
		return 0, false, volume.Refuse("its $LogFile is in a state that is not known; boot Windows once and shut down")
	}
	if err := fixup(p, "RSTR", "a restart page of $LogFile"); err != nil {
		return 0, false, err
	}
	le := binary.LittleEndian
	page, at, major := le.Uint32(p[0x10:]), int(le.Uint16(p[0x18:])), le.Uint16(p[0x1c:])
	if page != restartSize || major > 2 || at < 0x1e || at+0x30 > 510 {
		return 0, false, volume.Refuse("its $LogFile has version %d and pages of %d bytes, which are not known", major, page)
	}
	area := p[at:]
	return le.Uint64(area), le.Uint16(area[0xc:]) == restartNoClient || le.Uint16(area[0xe:])&restartClean != 0, nil
}
